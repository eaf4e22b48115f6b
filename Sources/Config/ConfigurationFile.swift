// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Finds and reads the configuration file.
package enum ConfigurationFile {
    /// A file of more bytes is no configuration.
    static let maximumBytes = 1 << 20

    /// A configuration and the file it came from; nil: there was none, the defaults hold.
    package struct Loaded: Sendable {
        package let configuration: JackdawConfiguration
        package let path: String?
    }

    /// Reads the file that `--config` names, else the one of `$JACKDAW_CONFIG`, else `var/jackdaw.yml`.
    ///
    /// Only the last one may be absent: then all is as documented in `etc/jackdaw.yml`, relative to `var`.
    package static func load(argument: String?) throws(ConfigurationError) -> Loaded {
        let named = argument ?? environment("JACKDAW_CONFIG")
        let path = named ?? "var/jackdaw.yml"
        let file: SmallFile
        do throws(SmallFile.Failure) {
            file = try SmallFile.read(path, limit: maximumBytes)
        } catch {
            if named == nil, !exists(path) {
                return Loaded(configuration: try parse([], file: path, directory: "var").configuration, path: nil)
            }
            switch error {
            case .failed(let reason): throw issue(path, reason)
            case .tooLong: throw issue(path, "longer than \(maximumBytes) bytes")
            }
        }
        let directory = directory(of: path)
        var configuration = try parse(file.bytes, file: path, directory: directory).configuration
        if let number = scale(of: "router", directory, in: 1...JackdawConfiguration.mostRouters) {
            configuration.supervisor.router = number
        }
        return Loaded(configuration: configuration, path: path)
    }

    /// What `scripts/supervisor scale` has set; nil: nothing. Only the number of routers is of interest to all processes,
    /// which link to each.
    private static func scale(of component: String, _ directory: String, in bounds: ClosedRange<Int>) -> Int? {
        let path = "\(directory)/supervisor/scale-\(component)"
        do throws(SmallFile.Failure) {
            let file = try SmallFile.read(path, limit: 64)
            let digits = file.bytes.prefix { (0x30...0x39).contains($0) }
            guard let number = Int(String(decoding: digits, as: UTF8.self)), bounds.contains(number) else { return nil }
            return number
        } catch {
            return nil
        }
    }

    /// Reads the text of a file; also tells the keys that exist but are not in it.
    static func parse(
        _ bytes: [UInt8],
        file: String,
        directory: String
    ) throws(ConfigurationError) -> (configuration: JackdawConfiguration, absentKeys: [String]) {
        let root: YAMLNode?
        do throws(YAMLError) {
            root = try YAMLParser.parse(bytes)
        } catch {
            throw ConfigurationError(file: file, issues: [ConfigurationIssue(mark: error.mark, text: error.text)])
        }
        let collector = IssueCollector(directory: directory)
        let reader = SectionReader(root, path: "", collector: collector)
        var configuration = JackdawConfiguration()
        configuration.read(reader)
        reader.finish()
        if collector.issues.isEmpty { configuration.validate(collector) }
        guard collector.issues.isEmpty else { throw ConfigurationError(file: file, issues: collector.sortedIssues) }
        return (configuration: configuration, absentKeys: collector.absentKeys)
    }

    static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private static func environment(_ name: String) -> String? {
        guard let value = unsafe getenv(name) else { return nil }
        let text = unsafe String(cString: value)
        return text.isEmpty ? nil : text
    }

    private static func exists(_ path: String) -> Bool {
        unsafe access(path, F_OK) == 0
    }

    private static func issue(_ path: String, _ text: String) -> ConfigurationError {
        ConfigurationError(file: path, issues: [ConfigurationIssue(mark: nil, text: text)])
    }
}
