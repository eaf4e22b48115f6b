// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Load

@Suite struct ObservedProcessTests {
    @Test("A line of stat is read also where the name looks like fields")
    func stat() {
        let row = ProcessTree.row("42 (a) S (b) S 7 42 42 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 1 0 99")
        #expect(row?.parent == 7)
        #expect(row?.ticks == 127)
        #expect(ProcessTree.row("42 (cut") == nil)
        #expect(ProcessTree.row("42 (cut) S 7") == nil)
    }

    @Test("A process is named with its id")
    func argument() {
        #expect(ObservedProcess(argument: "router=12")?.pid == 12)
        #expect(ObservedProcess(argument: "router") == nil)
        #expect(ObservedProcess(argument: "router=x") == nil)
    }
}
