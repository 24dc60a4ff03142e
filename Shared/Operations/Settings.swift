import Configuration
import Foundation
import Synchronization
import SystemPackage

/// A setting is missing or malformed; stops the start. Names the setting and what was expected, never its value.
public struct SettingError: Error, CustomStringConvertible {
    public let description: String

    public init(description: String) { self.description = description }
}

/// Reads settings by name from the environment, then from the file named by `MARTLET_CONFIG_FILE` (JSON), then takes the
/// default. `port` is the environment's `MARTLET_PORT` and the file's `{"martlet":{"port":…}}`.
///
/// A secret may also lie in a file of its own: `MARTLET_CONTEXT_KEYS_FILE` names the file with what `MARTLET_CONTEXT_KEYS` would
/// hold, less the line break at its end. Both at once are refused.
public struct Settings: Sendable {
    private let reader: ConfigReader
    private let readKeys = ReadKeys()

    private final class ReadKeys: Sendable {
        let keys = Mutex<Set<String>>([])
    }

    /// Reads from the process's environment, and the file if one is named.
    ///
    /// - Throws: ``SettingError`` when the file is named but cannot be read.
    public static func fromEnvironment() async throws -> Settings {
        let environment = EnvironmentVariablesProvider()
        var providers: [any ConfigProvider] = [environment]
        if let path = ConfigReader(provider: environment).string(forKey: "martlet.config.file") {
            do {
                providers.append(try await FileProvider<JSONSnapshot>(filePath: .init(path)))
            } catch {
                throw SettingError(description: "MARTLET_CONFIG_FILE: cannot read \(path): \(error)")
            }
        }
        return Settings(reader: ConfigReader(providers: providers))
    }

    /// Reads from the values given, for tests that run a service in their own process; names as in the environment.
    public init(values: [String: String]) {
        self.init(reader: ConfigReader(provider: EnvironmentVariablesProvider(environmentVariables: values)))
    }

    private init(reader: ConfigReader) { self.reader = reader }

    /// The keys that were asked for so far, so that a test can hold the code against its documented list.
    public var keysRead: Set<String> { readKeys.keys.withLock { $0 } }

    private func value(_ key: String, isSecret: Bool) -> String? {
        let name = ConfigKey(["martlet"] + key.split(separator: ".").map(String.init))
        if let text = try? reader.requiredString(forKey: name, isSecret: isSecret) { return text.isEmpty ? nil : text }
        // A file may give a number or a boolean as such.
        if let number = try? reader.requiredInt(forKey: name) { return String(number) }
        if let flag = try? reader.requiredBool(forKey: name) { return String(flag) }
        return nil
    }

    private func raw(_ key: String, isSecret: Bool = false) throws -> String? {
        readKeys.keys.withLock { _ = $0.insert(key) }
        let direct = value(key, isSecret: isSecret)
        guard isSecret, let path = value("\(key).file", isSecret: false) else { return direct }
        let name = Setting.name(of: key)
        guard direct == nil else { throw SettingError(description: "settings \(name) and \(name)_FILE: expected only one of them") }
        guard let bytes = FileManager.default.contents(atPath: path), let text = String(data: bytes, encoding: .utf8) else {
            throw SettingError(description: "setting \(name)_FILE: expected a file that can be read, at \(path)")
        }
        let secret = text.last?.isNewline == true ? String(text.dropLast()) : text
        return secret.isEmpty ? nil : secret
    }

    private func fault(_ key: String, _ expected: String) -> SettingError {
        SettingError(description: "setting \(Setting.name(of: key)): expected \(expected)")
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
