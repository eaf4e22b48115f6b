// SPDX-License-Identifier: Apache-2.0

import CPQ
import Glibc
import NIOCore

/// One libpq connection: the only place where libpq is called.
///
/// Confined to the thread that made it. Nothing here waits, save ``execute(_:)``.
@safe final class PQConnection {
    /// What a connection in the making waits for.
    enum Progress: Equatable {
        case waitingToRead
        case waitingToWrite
        case connected
        case failed(String)
    }

    /// What the server says next in a pipeline.
    enum Answer {
        /// Nothing yet: wait until the socket is readable.
        case none
        case result(StatementResult)
        case failure(DatabaseError)
        /// Not run, because an earlier statement before the same sync failed.
        case skipped
        /// No more results for the statement at the head of the pipeline.
        case end
        /// The transaction before the sync is over.
        case synced
        case lost(String)
    }

    private let handle: OpaquePointer

    /// Begins to connect; nil if there is no memory.
    init?(_ configuration: DatabaseConfiguration) {
        let timeout = configuration.statementTimeout.nanoseconds / 1_000_000
        // Every statement finds its rows by an index. A table that is empty most of the time, as the spool is, has
        // statistics that say so; a plan made from them reads the whole table when it is full.
        // Where it reads the whole table all the same, it takes that for so dear that it would compile the plan first.
        // A fence reads the epoch after it waited for the lock, so each statement needs a snapshot of its own.
        let options =
            "-c statement_timeout=\(timeout) -c enable_seqscan=off -c jit=off "
            + "-c default_transaction_isolation=read\\ committed"
        // What comes later wins. Peers end the connections of an instance by the name, so that is ours to set.
        let settings: [(String, String)] = [
            ("client_encoding", "UTF8"),
            ("options", options),
            ("dbname", configuration.url),
            ("application_name", configuration.applicationName),
        ]
        let copies = unsafe settings.map { unsafe (name: strdup($0.0), value: strdup($0.1)) }
        defer {
            for index in unsafe copies.indices {
                unsafe free(copies[index].name)
                unsafe free(copies[index].value)
            }
        }
        let names = unsafe copies.map { unsafe UnsafePointer($0.name) } + [nil]
        let values = unsafe copies.map { unsafe UnsafePointer($0.value) } + [nil]
        guard let handle = unsafe PQconnectStartParams(names, values, 1) else { return nil }
        unsafe self.handle = handle
        // libpq prints notices on standard error.
        _ = unsafe PQsetNoticeProcessor(handle, { _, _ in }, nil)
    }

    deinit {
        unsafe PQfinish(handle)
    }

    /// Moves the making of the connection on; the first call may come when the socket is writable.
    func continueConnecting() -> Progress {
        if unsafe PQstatus(handle) == CONNECTION_BAD { return .failed(errorMessage) }
        switch unsafe PQconnectPoll(handle) {
        case PGRES_POLLING_READING: return .waitingToRead
        case PGRES_POLLING_WRITING: return .waitingToWrite
        case PGRES_POLLING_OK: return .connected
        default: return .failed(errorMessage)
        }
    }

    var socket: Int32 { unsafe PQsocket(handle) }

    var errorMessage: String {
        guard let message = unsafe PQerrorMessage(handle) else { return "" }
        return unsafe String(cString: message).split(whereSeparator: \.isNewline).joined(separator: " ")
    }

    // MARK: Pipeline

    /// Makes the connection one that never blocks and runs statements in a pipeline.
    func enterPipeline() -> Bool {
        unsafe PQsetnonblocking(handle, 1) == 0 && PQenterPipelineMode(handle) == 1
    }

    func sendPrepare(_ statement: Statement) -> Bool {
        unsafe PQsendPrepare(handle, statement.name, statement.sql, 0, nil) == 1
    }

    func sendQuery(_ request: Request, encoder: inout ParameterEncoder) -> Bool {
        encoder.encode(request.values)
        return unsafe encoder.withParameters { values, lengths, formats in
            unsafe PQsendQueryPrepared(
                handle,
                request.statement.name,
                Int32(clamping: request.values.count),
                values,
                lengths,
                formats,
                1
            ) == 1
        }
    }

    func sendSync() -> Bool { unsafe PQpipelineSync(handle) == 1 }

    /// Sends what libpq has buffered; false when the rest must wait until the socket is writable. A connection that
    /// is lost shows at the next ``nextAnswer()``.
    func flush() -> Bool { unsafe PQflush(handle) != 1 }

    /// Takes in what arrived; false if the connection is lost.
    func consumeInput() -> Bool { unsafe PQconsumeInput(handle) == 1 && PQstatus(handle) == CONNECTION_OK }

    func nextAnswer() -> Answer {
        if unsafe PQisBusy(handle) == 1 { return .none }
        guard let result = unsafe PQgetResult(handle) else {
            return unsafe PQstatus(handle) == CONNECTION_OK ? .end : .lost(errorMessage)
        }
        defer { unsafe PQclear(result) }
        switch unsafe PQresultStatus(result) {
        case PGRES_PIPELINE_SYNC: return .synced
        case PGRES_PIPELINE_ABORTED: return .skipped
        case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: return .result(unsafe read(result))
        default: return unsafe failure(result)
        }
    }

    // MARK: One statement at a time

    /// Runs SQL of one or several statements and waits for the result; for migrations, outside of a pipeline.
    func execute(_ sql: String) throws(DatabaseError) -> StatementResult {
        guard let result = unsafe PQexecParams(handle, sql, 0, nil, nil, nil, nil, 1) else { throw .unavailable }
        return try unsafe finish(result)
    }

    /// Runs SQL of several statements and waits; gives no rows.
    func executeScript(_ sql: String) throws(DatabaseError) {
        guard let result = unsafe PQexec(handle, sql) else { throw .unavailable }
        _ = try unsafe finish(result)
    }

    private func finish(_ result: OpaquePointer) throws(DatabaseError) -> StatementResult {
        defer { unsafe PQclear(result) }
        switch unsafe PQresultStatus(result) {
        case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
            return unsafe read(result)
        default:
            if case .failure(let error) = unsafe failure(result) { throw error }
            throw .unavailable
        }
    }

    // MARK: Results

    private func read(_ result: OpaquePointer) -> StatementResult {
        let affected = unsafe PQcmdTuples(result).flatMap { unsafe Int(String(cString: $0)) } ?? 0
        let columns = Int(unsafe PQnfields(result))
        let rows = Int(unsafe PQntuples(result))
        guard columns > 0, rows > 0 else { return StatementResult(rows: [], affected: affected) }
        var table = ResultTable(buffer: ByteBuffer(), cells: [], columns: columns)
        table.cells.reserveCapacity(rows * columns)
        for row in 0..<Int32(rows) {
            for column in 0..<Int32(columns) {
                guard unsafe PQgetisnull(result, row, column) == 0, let bytes = unsafe PQgetvalue(result, row, column)
                else {
                    table.cells.append((0, -1))
                    continue
                }
                let length = unsafe PQgetlength(result, row, column)
                table.cells.append((Int32(clamping: table.buffer.writerIndex), length))
                unsafe table.buffer.writeBytes(UnsafeRawBufferPointer(start: bytes, count: Int(length)))
            }
        }
        return StatementResult(rows: table.rows, affected: affected)
    }

    private func failure(_ result: OpaquePointer) -> Answer {
        let sqlstate = unsafe field(result, "C") ?? ""
        let message = unsafe field(result, "M") ?? errorMessage
        // Connection exceptions, and the server's own reasons to end a session (PostgreSQL 15, appendix A).
        let ended = ["57P01", "57P02", "57P03", "57P05", "25P03"]
        if sqlstate.isEmpty || sqlstate.hasPrefix("08") || ended.contains(sqlstate) {
            return .lost(message)
        }
        if sqlstate == Fence.sqlstate { return .failure(.fenced) }
        if sqlstate.hasPrefix("23") {
            return .failure(.constraint(name: unsafe field(result, "n") ?? "", sqlstate: sqlstate))
        }
        return .failure(.failed(sqlstate: sqlstate, message: message))
    }

    /// A field of an error, by its code in the protocol.
    private func field(_ result: OpaquePointer, _ code: Unicode.Scalar) -> String? {
        unsafe PQresultErrorField(result, Int32(code.value)).map { unsafe String(cString: $0) }
    }
}
