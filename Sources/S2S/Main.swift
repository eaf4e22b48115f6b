// SPDX-License-Identifier: Apache-2.0

import Config
import Daemon

/// `jackdaw-s2s`.
@main
struct Main {
    static func main() async {
        await DaemonRunner.main(
            kind: .s2s,
            check: { context in S2SCheck.run(context) },
            start: { context in [try await S2SService.start(context)] }
        )
    }
}
