// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Ctl

/// How `check` runs the other executables.
@Suite struct SubprocessTests {
    @Test func outputAndExitCodeAreRead() throws {
        let result = try #require(Subprocess.run("/bin/sh", ["-c", "printf 'a\nb'; exit 78"]))
        #expect(result.output == "a\nb" && result.exitCode == 78)
    }

    @Test func aSignalIsToldAsTheShellTellsIt() throws {
        #expect(try #require(Subprocess.run("/bin/sh", ["-c", "kill -9 $$"])).exitCode == 137)
    }

    @Test func whatIsNotThereCannotBeRun() {
        #expect(Subprocess.run("/nonexistent/jackdaw-router", []) == nil)
    }

    @Test func outputIsBounded() throws {
        let result = try #require(Subprocess.run("/bin/sh", ["-c", "head -c 3000000 /dev/zero | tr '\\0' x"]))
        #expect((1 << 20...1_200_000).contains(result.output.utf8.count) && result.exitCode == 0)
    }
}
