import Foundation
import Synchronization

/// A setting is missing or malformed; stops the start. Names the setting and what was expected, never its value.
public struct SettingError: Error, CustomStringConvertible {
    /// Of the setting, where it is about one.
    public let key: String?
    public let description: String

    public init(key: String? = nil, description: String) {
        self.key = key
        self.description = description
    }
}

/// Reads settings by name from the environment, then from a file, then takes the default. `port` is `MARTLET_PORT` in both.
///
/// A secret may also lie in a file of its own: `MARTLET_CONTEXT_KEYS_FILE` names the file with what `MARTLET_CONTEXT_KEYS` would
/// hold, less the line break at its end. Both at once are refused.
public struct Settings: Sendable {
    private let environment: [String: String]
    private let file: [String: String]
    private let readKeys = ReadKeys()

    private final class ReadKeys: Sendable {
        let keys = Mutex<Set<String>>([])
    }

    /// Reads from the process's environment, and the file if one is named.
    ///
    /// - Parameter file: The path of the file; `nil` for the one that `MARTLET_CONFIG_FILE` names, if any.
    /// - Throws: ``SettingError`` when the file is named but cannot be read.
    public static func fromEnvironment(file: String? = nil) throws -> Settings {
        let environment = ProcessInfo.processInfo.environment
        let named = environment["MARTLET_CONFIG_FILE"].flatMap { $0.isEmpty ? nil : $0 }
        return Settings(values: environment, file: try (file ?? named).map { try SettingsFile.read($0) } ?? [:])
    }

    /// Reads from the values given, for tests that run a service in their own process; names as in the environment.
    public init(values: [String: String]) { self.init(values: values, file: [:]) }

    private init(values: [String: String], file: [String: String]) {
        environment = values
        self.file = file
    }

    /// The same with other values; an empty one is as if it were not set.
    func setting(_ values: [String: String]) -> Settings {
        Settings(values: environment.merging(values) { $1 }, file: file.merging(values) { $1 })
    }

    /// The keys that were asked for so far, so that a test can hold the code against its documented list.
    public var keysRead: Set<String> { readKeys.keys.withLock { $0 } }

    /// Names in the file that none of the settings has, in their order: misspelled, or another process's.
    public func unknownNames(besides settings: [Setting]) -> [String] {
        let known = Set(settings.flatMap { [$0.name] + ($0.isSecret ? ["\($0.name)_FILE"] : []) })
        return file.keys.filter { !known.contains($0) }.sorted()
    }

    /// Everything that is wrong, where reading alone tells the first fault.
    ///
    /// - Parameters:
    ///   - standIns: Values of required settings by key, that reading goes on with.
    ///   - read: What reads them at the start.
    public func faults(standIns: [String: String] = [:], _ read: (Settings) throws -> Void) throws -> [SettingError] {
        var settings = self
        var faults: [SettingError] = []
        while true {
            do {
                try read(settings)
                return faults
            } catch let fault as SettingError {
                faults.append(fault)
                // The same one again cannot be passed over.
                guard let key = fault.key, !faults.dropLast().contains(where: { $0.key == key }) else { return faults }
                let name = Setting.name(of: key)
                settings = settings.setting([name: standIns[key] ?? "", "\(name)_FILE": ""])
            }
        }
    }

    private func value(_ name: String) -> String? { [environment[name], file[name]].lazy.compactMap(\.self).first { !$0.isEmpty } }

    private func raw(_ key: String, isSecret: Bool = false) throws -> String? {
        readKeys.keys.withLock { _ = $0.insert(key) }
        let name = Setting.name(of: key)
        let direct = value(name)
        guard isSecret, let path = value("\(name)_FILE") else { return direct }
        guard direct == nil else {
            throw SettingError(key: key, description: "settings \(name) and \(name)_FILE: expected only one of them")
        }
        guard let bytes = FileManager.default.contents(atPath: path), let text = String(data: bytes, encoding: .utf8) else {
            throw SettingError(key: key, description: "setting \(name)_FILE: expected a file that can be read, at \(path)")
        }
        let secret = text.last?.isNewline == true ? String(text.dropLast()) : text
        return secret.isEmpty ? nil : secret
    }

    private func fault(_ key: String, _ expected: String) -> SettingError {
        SettingError(key: key, description: "setting \(Setting.name(of: key)): expected \(expected)")
    }

    /// A text that must be given. An empty value counts as absent, here and below.
    public func required(_ key: String, _ expected: String, isSecret: Bool = false) throws -> String {
        guard let text = try raw(key, isSecret: isSecret) else { throw fault(key, "\(expected); it is not set") }
        return text
    }

    public func string(_ key: String, default value: String) throws -> String { try raw(key) ?? value }

    public func optional(_ key: String, isSecret: Bool = false) throws -> String? { try raw(key, isSecret: isSecret) }

    /// A whole number in a range.
    public func integer(_ key: String, default value: Int, in range: ClosedRange<Int>) throws -> Int {
        guard let text = try raw(key) else { return value }
        guard let number = Int(text), range.contains(number) else {
            throw fault(key, "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// `true` or `false`.
    public func flag(_ key: String, default value: Bool) throws -> Bool {
        switch try raw(key) {
        case nil: return value
        case "true": return true
        case "false": return false
        default: throw fault(key, "true or false")
        }
    }

    /// Texts with commas between; blanks around them and empty ones do not count.
    public func list<Value>(_ key: String, _ expected: String, _ parse: (String) -> Value?) throws -> [Value] {
        let parts = try raw(key)?.split(separator: ",").map { $0.filter { $0 != " " } }.filter { !$0.isEmpty } ?? []
        return try parts.map { part in
            guard let value = parse(part) else { throw fault(key, expected) }
            return value
        }
    }

    /// Whatever `parse` makes of a text; `nil` from it means malformed.
    public func parsed<Value>(
        _ key: String, default value: @autoclosure () -> Value?, _ expected: String, isSecret: Bool = false,
        _ parse: (String) throws -> Value?
    ) throws -> Value {
        guard let text = try raw(key, isSecret: isSecret) else {
            guard let value = value() else { throw fault(key, "\(expected); it is not set") }
            return value
        }
        guard let parsed = try? parse(text) else { throw fault(key, expected) }
        return parsed
    }
}
