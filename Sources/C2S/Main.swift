// SPDX-License-Identifier: Apache-2.0

import Config
import Daemon

/// `jackdaw-c2s`.
@main
struct Main {
    static func main() async {
        await DaemonRunner.main(
            kind: .c2s,
            check: { context in await C2SCheck.run(context) },
            start: { context in [try await C2SService.start(context)] }
        )
    }
}
