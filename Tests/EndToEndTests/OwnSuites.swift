// SPDX-License-Identifier: Apache-2.0

import Testing

/// Tests that start processes of their own, to kill them, to flood them or to configure them otherwise: one at a time.
@Suite(.serialized) struct OwnSuites {}
