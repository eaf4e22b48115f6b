// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Starts a detached thread that blocks all signals: they belong to the process's main threads.
func startThread(_ body: @escaping @Sendable () -> Void) -> Bool {
    final class Box {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    let box = unsafe Unmanaged.passRetained(Box(body))
    var thread = pthread_t()
    let failed = unsafe pthread_create(
        &thread,
        nil,
        { argument in
            guard let argument = unsafe argument else { return nil }
            var signals = sigset_t()
            unsafe sigfillset(&signals)
            unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
            unsafe Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body()
            return nil
        },
        unsafe box.toOpaque()
    )
    guard failed == 0 else {
        unsafe box.release()
        return false
    }
    pthread_detach(thread)
    return true
}
