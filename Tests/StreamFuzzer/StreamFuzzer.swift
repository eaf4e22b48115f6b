// SPDX-License-Identifier: Apache-2.0

import Foundation
import XMLTestSupport

/// A document as the fuzzer made it: its first byte says where it is cut, the rest is what a client sends.
private func check(_ input: some Collection<UInt8>) throws {
    guard let first = input.first else { return }
    let bytes = Array(input.dropFirst())
    try StreamProperties.checkPieces(bytes, cut: bytes.count * Int(first) / 256)
    try StreamProperties.checkAgreement(bytes)
}

#if FUZZING
/// What libFuzzer calls with each input. A violated property ends the process, and libFuzzer writes the input down.
@_cdecl("LLVMFuzzerTestOneInput")
package func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    do {
        try unsafe check(UnsafeBufferPointer(start: start, count: count))
    } catch {
        fatalError("\(error)")
    }
    return 0
}

/// libFuzzer's own loop (compiler-rt, FuzzerInterface.h).
@_silgen_name("LLVMFuzzerRunDriver")
private func runFuzzer(
    _ argumentCount: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ check: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

@main
struct StreamFuzzer {
    static func main() {
        var count = CommandLine.argc
        var arguments = unsafe CommandLine.unsafeArgv
        exit(unsafe runFuzzer(&count, &arguments, fuzzOneInput))
    }
}
#else
/// Reads inputs that a fuzzer found, or that are kept (`jackdaw-stream-fuzzer FILE …`).
@main
struct StreamFuzzer {
    static func main() throws {
        for path in CommandLine.arguments.dropFirst() {
            try check(try Data(contentsOf: URL(filePath: path)))
        }
    }
}
#endif
