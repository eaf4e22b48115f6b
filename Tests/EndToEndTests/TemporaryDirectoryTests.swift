// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

/// What a test run that was killed leaves is removed by the next one, and nothing else is.
@Suite struct TemporaryDirectoryTests {
    @Test func onlyDirectoriesOfRunsThatAreGoneAreRemoved() throws {
        let parent = try TemporaryDirectory.make("leftovers")
        let ended = try ChildProcess(["true"])
        ended.closeInput()
        _ = ended.wait()
        let own = getpid()
        let start = try #require(TemporaryDirectory.startTime(of: own))
        let kept = [
            "jackdaw-tests-\(own)-\(start)-1", "jackdaw-tests-x-\(start)-1", "jackdaw-tests-0-1-1", "jackdaw-tests",
            "jackdaw-tests-1", "jackdaw-pg-abc", "other",
        ]
        let gone = ["jackdaw-tests-\(ended.pid)-1-1", "jackdaw-tests-\(own)-\(start + 1)-1"]
        for name in kept + gone {
            let path = "\(parent)/\(name)/some/where"
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        }
        TemporaryDirectory.removeLeftovers(in: parent)
        #expect(try Set(FileManager.default.contentsOfDirectory(atPath: parent)) == Set(kept))
        TemporaryDirectory.remove(parent)
        #expect(!FileManager.default.fileExists(atPath: parent))
    }

    @Test func aDirectoryNamesTheRunThatItBelongsTo() throws {
        let directory = try TemporaryDirectory.make("own")
        let start = try #require(TemporaryDirectory.startTime(of: getpid()))
        #expect(directory.hasPrefix("/tmp/jackdaw-tests-\(getpid())-\(start)-"))
        #expect(TemporaryDirectory.startTime(of: 0) == nil)
    }
}
