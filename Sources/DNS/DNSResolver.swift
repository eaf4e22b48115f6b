// SPDX-License-Identifier: Apache-2.0

internal import CUnbound
internal import Glibc
package import NIOCore

/// Asks DNS, with DNSSEC, and remembers answers for as long as they hold (libunbound, RFC 4035).
///
/// Confined to its event loop: answers come there. libunbound works on a thread of its own, and a second one, which the
/// owner gives, waits for what it has found.
@safe package final class DNSResolver {
    /// How it looks things up.
    package struct Configuration: Sendable {
        /// Addresses, `127.0.0.1` or `127.0.0.1@5300`; empty: those of /etc/resolv.conf.
        package var resolvers: [String]
        /// Files with DS or DNSKEY records that DNSSEC begins with; files that are not there are passed over.
        package var trustAnchors: [String]
        package var timeout: TimeAmount
        /// Questions that libunbound works on at a time, those included whose time is over; more fail with `overloaded`.
        package var maximumQuestions: Int

        package init(
            resolvers: [String],
            trustAnchors: [String],
            timeout: TimeAmount,
            maximumQuestions: Int = 5_000
        ) {
            self.resolvers = resolvers
            self.trustAnchors = trustAnchors
            self.timeout = timeout
            self.maximumQuestions = maximumQuestions
        }

        /// Where Debian has the root's key.
        package static let systemTrustAnchors = ["/usr/share/dns/root.key"]
    }

    private struct Question {
        let promise: EventLoopPromise<Answer>
        let timer: Scheduled<Void>
    }

    private let context: OpaquePointer
    private let eventLoop: any EventLoop
    private let configuration: Configuration
    /// Those that somebody waits for.
    private var questions: [Int: Question] = [:]
    private var nextQuestion = 0
    /// What libunbound works on: it goes on with a question whose time is over here, and remembers what it finds.
    private var askedCount = 0

    /// Makes a resolver.
    ///
    /// - Parameters:
    ///   - configuration: how it looks things up.
    ///   - eventLoop: where it is used and answers.
    ///   - runOnThread: runs what never returns on a thread of its own.
    /// - Throws: `ResolverError.failed` where the configuration cannot be used.
    package init(
        _ configuration: Configuration,
        eventLoop: any EventLoop,
        runOnThread: (@escaping @Sendable () -> Void) -> Void
    ) throws(ResolverError) {
        guard let context = unsafe ub_ctx_create() else { throw .failed("libunbound cannot be started") }
        unsafe self.context = context
        self.eventLoop = eventLoop
        self.configuration = configuration
        try self.configure()
        // With threads instead of a process of its own.
        unsafe ub_ctx_async(context, 1)
        try self.openReservedZones()
        let waiter = unsafe Waiter(context: context)
        runOnThread { waiter.run() }
    }

    private func configure() throws(ResolverError) {
        if self.configuration.resolvers.isEmpty {
            unsafe ub_ctx_resolvconf(self.context, "/etc/resolv.conf")
        }
        for resolver in self.configuration.resolvers {
            let result = unsafe ub_ctx_set_fwd(self.context, resolver)
            guard result == 0 else { throw .failed("\(resolver): \(Self.text(of: result))") }
        }
        unsafe ub_ctx_set_option(self.context, "do-not-query-localhost:", "no")
        // Its own lines would be among those of our log; what matters comes as a result.
        unsafe ub_ctx_debugout(self.context, nil)
        for file in self.configuration.trustAnchors where unsafe access(file, R_OK) == 0 {
            let result = unsafe ub_ctx_add_ta_file(self.context, file)
            guard result == 0 else { throw .failed("\(file): \(Self.text(of: result))") }
        }
        unsafe ub_ctx_hosts(self.context, "/etc/hosts")
    }

    /// Names below test. and the like are looked up as all others are (RFC 6761 is the resolver's to know).
    ///
    /// After everything else: this is the first call that ends the time for settings.
    private func openReservedZones() throws(ResolverError) {
        for zone in ["test.", "invalid.", "onion.", "home.arpa."] {
            let result = unsafe ub_ctx_zone_add(self.context, zone, "transparent")
            guard result == 0 else {
                let files = self.configuration.trustAnchors.joined(separator: ", ")
                throw .failed(
                    "libunbound cannot be started (\(Self.text(of: result))); are there DS or DNSKEY records in \(files)?"
                )
            }
        }
    }

    private static func text(of error: CInt) -> String {
        unsafe ub_strerror(error).map { unsafe String(cString: $0) } ?? "error \(error)"
    }

    /// Asks for the records of a name, in A-labels.
    ///
    /// Fails with `ResolverError`.
    package func resolve(_ name: String, _ type: RecordType) -> EventLoopFuture<Answer> {
        self.eventLoop.preconditionInEventLoop()
        let promise = self.eventLoop.makePromise(of: Answer.self)
        guard self.askedCount < self.configuration.maximumQuestions else {
            promise.fail(ResolverError.overloaded)
            return promise.futureResult
        }
        self.nextQuestion += 1
        let number = self.nextQuestion
        let timer = self.eventLoop.assumeIsolated().scheduleTask(in: self.configuration.timeout) {
            self.finish(number, .failure(.timeout))
        }
        self.questions[number] = Question(promise: promise, timer: timer)
        let resolver = NIOLoopBound(self, eventLoop: self.eventLoop)
        let asked = AskedQuestion(eventLoop: self.eventLoop) { result in resolver.value.answered(number, result) }
        let argument = unsafe Unmanaged.passRetained(asked)
        self.askedCount += 1
        let result = unsafe ub_resolve_async(
            self.context,
            name,
            type.rawValue,
            1,
            argument.toOpaque(),
            { argument, error, result in
                guard let argument = unsafe argument else { return }
                let asked = unsafe Unmanaged<AskedQuestion>.fromOpaque(argument).takeRetainedValue()
                unsafe asked.take(error, result)
            },
            nil
        )
        if result != 0 {
            unsafe argument.release()
            self.answered(number, .failure(.failed(Self.text(of: result))))
        }
        return promise.futureResult
    }

    private func answered(_ number: Int, _ result: Result<Answer, ResolverError>) {
        self.askedCount -= 1
        self.finish(number, result)
    }

    private func finish(_ number: Int, _ result: Result<Answer, ResolverError>) {
        guard let question = self.questions.removeValue(forKey: number) else { return }
        question.timer.cancel()
        switch result {
        case .success(let answer): question.promise.succeed(answer)
        case .failure(let error): question.promise.fail(error)
        }
    }
}

/// A question that libunbound works on; its answer comes on the waiter's thread.
private final class AskedQuestion: Sendable {
    private let eventLoop: any EventLoop
    private let done: @Sendable (Result<Answer, ResolverError>) -> Void

    init(eventLoop: any EventLoop, done: @escaping @Sendable (Result<Answer, ResolverError>) -> Void) {
        self.eventLoop = eventLoop
        self.done = done
    }

    func take(_ error: CInt, _ result: UnsafeMutablePointer<ub_result>?) {
        defer { unsafe ub_resolve_free(result) }
        let answer = unsafe Self.answer(error, result)
        let done = self.done
        self.eventLoop.execute { done(answer) }
    }

    /// RFC 1035 §4.1.1.
    private static func words(forCode code: CInt) -> String {
        switch code {
        case 2: "the server failed"
        case 5: "the server refuses to answer"
        default: "the server answered with code \(code)"
        }
    }

    private static func answer(
        _ error: CInt,
        _ result: UnsafeMutablePointer<ub_result>?
    ) -> Result<Answer, ResolverError> {
        guard error == 0, let result = unsafe result?.pointee else {
            let text = unsafe ub_strerror(error).map { unsafe String(cString: $0) }
            return .failure(.failed(text ?? "error \(error)"))
        }
        if unsafe result.bogus != 0 {
            return .failure(.bogus(unsafe result.why_bogus.map { unsafe String(cString: $0) } ?? ""))
        }
        // 0: there is an answer, if an empty one; 3: there is no such name.
        guard unsafe result.rcode == 0 || result.rcode == 3 else {
            return unsafe .failure(.failed(Self.words(forCode: result.rcode)))
        }
        var records: [[UInt8]] = []
        if let data = unsafe result.data, let lengths = unsafe result.len {
            var index = 0
            while let bytes = unsafe data[index] {
                let count = max(0, Int(unsafe lengths[index]))
                unsafe records.append(Array(UnsafeRawBufferPointer(start: bytes, count: count)))
                index += 1
            }
        }
        return unsafe .success(
            Answer(records: records, isSecure: result.secure != 0, isNameUnknown: result.nxdomain != 0)
        )
    }
}

/// Waits for answers, for as long as the process lives.
///
/// Sendable: libunbound's context may be used by several threads (libunbound(3), "thread safe"), and nothing else is in
/// it.
@safe private final class Waiter: @unchecked Sendable {
    private let context: OpaquePointer

    init(context: OpaquePointer) {
        unsafe self.context = context
    }

    func run() {
        var descriptor = unsafe pollfd(fd: ub_fd(self.context), events: Int16(POLLIN), revents: 0)
        while true {
            guard unsafe poll(&descriptor, 1, -1) > 0 || errno == EINTR else { return }
            unsafe ub_process(self.context)
        }
    }
}
