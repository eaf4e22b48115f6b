// SPDX-License-Identifier: Apache-2.0

import Config
import Logging
import Synchronization
import Testing

@testable import Daemon

@Suite struct LogLineTests {
    final class Output: Sendable {
        let lines = Mutex<[String]>([])
    }

    static func lines(_ log: JackdawConfiguration.Log, _ body: (inout Logger) -> Void) -> [String] {
        let output = Output()
        let settings = LogSettings(log, instance: "c2s-1") { bytes in
            output.lines.withLock { $0.append(String(decoding: bytes, as: UTF8.self)) }
        }
        var logger = settings.logger("test")
        body(&logger)
        return output.lines.withLock { $0 }
    }

    static func log(_ format: JackdawConfiguration.Log.Format) -> JackdawConfiguration.Log {
        var log = JackdawConfiguration.Log()
        log.format = format
        return log
    }

    @Test func lineForPeopleHasTimeLevelInstanceAndSortedMetadata() throws {
        let lines = Self.lines(Self.log(.text)) { logger in
            logger[metadataKey: "conn"] = "7"
            logger.info("hello", metadata: ["reason": "two words", "empty": ""])
            logger.debug("not at this level")
        }
        try #require(lines.count == 1)
        let line = try #require(lines.first)
        #expect(
            line.wholeMatch(
                of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z info c2s-1: hello conn=7 empty="" reason="two words"\n/
            ) != nil
        )
    }

    @Test(arguments: [JackdawConfiguration.Log.Format.text, .json])
    func nobodyForgesALine(_ format: JackdawConfiguration.Log.Format) {
        let attack = "x\n2026-11-23T08:00:00.000000Z error c2s-1: forged\r\u{1B}[31m"
        let lines = Self.lines(Self.log(format)) { logger in
            logger.info("\(attack)", metadata: ["jid": "\(attack)", "a\nb": "1"])
        }
        #expect(lines.count == 1)
        #expect(lines.joined().unicodeScalars.filter { $0.value < 0x20 }.count == 1)
        #expect(lines.joined().hasSuffix("\n"))
    }

    @Test func lineForMachinesIsOneObject() throws {
        let lines = Self.lines(Self.log(.json)) { logger in
            logger.warning("say \"hi\"", metadata: ["time": "mine", "list": ["a", "b"], "map": ["k": "v"]])
        }
        let line = try #require(lines.first)
        #expect(line.hasPrefix("{\"time\":\"2"))
        #expect(
            line.hasSuffix(
                #"Z","level":"warning","instance":"c2s-1","message":"say \"hi\"","list":["a","b"],"map":{"k":"v"},"_time":"mine"}"#
                    + "\n"
            )
        )
    }

    @Test func levelCanChangeWhileALoggerIsInUse() {
        let output = Output()
        let settings = LogSettings(.init(), instance: "sm-1") { bytes in
            output.lines.withLock { $0.append(String(decoding: bytes, as: UTF8.self)) }
        }
        let logger = settings.logger("test")
        logger.debug("unheard")
        var log = JackdawConfiguration.Log()
        log.level = .debug
        settings.apply(log)
        logger.debug("heard")
        #expect(output.lines.withLock { $0.count } == 1)
    }

    @Test(arguments: [
        (0, 0, "1970-01-01T00:00:00.000000Z"), (951_782_400, 1, "2000-02-29T00:00:00.000001Z"),
        (1_795_424_376, 965_711, "2026-11-23T08:59:36.965711Z"),
        (4_107_542_399, 999_999, "2100-02-28T23:59:59.999999Z"),
        (-1, 5, "1969-12-31T23:59:59.000005Z"),
    ])
    func timesAreRFC3339(_ seconds: Int, _ microseconds: Int, _ expected: String) {
        var bytes: [UInt8] = []
        Timestamp(seconds: seconds, microseconds: microseconds).write(to: &bytes)
        #expect(String(decoding: bytes, as: UTF8.self) == expected)
    }
}
