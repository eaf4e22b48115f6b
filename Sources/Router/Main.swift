// SPDX-License-Identifier: Apache-2.0

import Config
import Daemon

/// `jackdaw-router`.
@main
struct Main {
    static func main() async {
        await DaemonRunner.main(
            kind: .router,
            check: { context in RouterService.check(context) },
            start: { context in [try await RouterService.start(context)] }
        )
    }
}
