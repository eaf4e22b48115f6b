// SPDX-License-Identifier: Apache-2.0

import Config
import Glibc

/// What the system knows of this process, and of its build; read when the metrics are.
enum ProcessMetrics {
    static func register(in registry: MetricsRegistry, instance: InstanceName) {
        registry.info(
            "jackdaw_build",
            help: "What this process was built from.",
            labels: [
                "version": BuildInformation.version, "configuration": BuildInformation.configuration,
                "process": instance.kind.rawValue, "instance": instance.description,
            ]
        )
        let started = now()
        registry.computedGauge("process_start_time_seconds", help: "When the process started.") { started }
        registry.computedGauge("process_resident_memory_bytes", help: "Memory in use.") { Double(residentBytes()) }
        registry.computedCounter("process_cpu_seconds", help: "Processor time used.") { cpuSeconds() }
        registry.computedGauge("process_open_fds", help: "Open file descriptors.") { Double(openDescriptors()) }
        registry.computedGauge("process_max_fds", help: "The limit of file descriptors.") {
            Double(DescriptorLimit.current)
        }
    }

    private static func now() -> Double {
        let time = Timestamp.now()
        return Double(time.seconds) + Double(time.microseconds) / 1e6
    }

    static func residentBytes() -> Int {
        guard let file = try? SmallFile.read("/proc/self/statm", limit: 4_096) else { return 0 }
        let fields = file.bytes.split(separator: UInt8(ascii: " "))
        guard fields.count > 1, let pages = Int(String(decoding: fields[1], as: UTF8.self)) else { return 0 }
        return pages &* Int(sysconf(Int32(_SC_PAGESIZE)))
    }

    static func cpuSeconds() -> Double {
        var usage = rusage()
        guard unsafe getrusage(RUSAGE_SELF.rawValue, &usage) == 0 else { return 0 }
        let seconds = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec
        return Double(seconds) + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
    }

    /// From the directory's size where the kernel tells it (6.2 and later), else by counting.
    static func openDescriptors() -> Int {
        var info = stat()
        if unsafe stat("/proc/self/fd", &info) == 0, info.st_size > 0 { return Int(info.st_size) }
        guard let directory = unsafe opendir("/proc/self/fd") else { return 0 }
        defer { unsafe closedir(directory) }
        var count = 0
        while unsafe readdir(directory) != nil { count += 1 }
        // `.`, `..` and the directory itself.
        return max(0, count - 3)
    }
}

/// The number of sockets a process may have.
enum DescriptorLimit {
    static var current: Int {
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 0 }
        return Int(clamping: limit.rlim_cur)
    }

    /// Raises the soft limit to the hard one; returns what holds then.
    static func raise() -> Int {
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 0 }
        limit.rlim_cur = limit.rlim_max
        _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return current
    }
}
