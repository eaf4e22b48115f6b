// SPDX-License-Identifier: Apache-2.0

/// `jackdaw-instructions CASE COUNT` carries one of the inner parts out COUNT times; `scripts/instructions` counts what
/// that takes. Counts of instructions tell the truth on a noisy machine.
@main
struct Main {
    static func main() {
        let arguments = CommandLine.arguments
        guard arguments.count == 3, let part = InnerPart.named(arguments[1]), let count = Int(arguments[2]), count > 0
        else {
            print(InnerPart.all.map(\.name).joined(separator: "\n"))
            return
        }
        var check = 0
        let run = part.prepare()
        for _ in 0..<count { check &+= run() }
        // What is made is used, so that none of it is optimised away.
        print(part.name, count, check == 0 ? "nothing was made" : "done")
    }
}
