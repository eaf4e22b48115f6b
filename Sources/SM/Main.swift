// SPDX-License-Identifier: Apache-2.0

import Config
import Daemon

/// `jackdaw-sm`.
@main
struct Main {
    static func main() async {
        await DaemonRunner.main(
            kind: .sm,
            check: { context in await SMService.check(context) },
            start: { context in [try await SMService.start(context)] }
        )
    }
}
