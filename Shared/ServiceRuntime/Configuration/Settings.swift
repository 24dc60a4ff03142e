import Configuration
import SystemPackage

/// A setting is missing or malformed; stops the start.
public struct SettingError: Error, CustomStringConvertible {
    public let description: String
}

/// Reads settings by name from the environment, then from the file named by `MARTLET_CONFIG_FILE` (JSON), then takes the
/// default. `port` below the prefix `martlet` is the environment's `MARTLET_PORT` and the file's `{"martlet":{"port":…}}`.
public struct Settings: Sendable {
    private let reader: ConfigReader
    private let prefix: [String]

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

    private init(reader: ConfigReader, prefix: [String] = ["martlet"]) {
        self.reader = reader
        self.prefix = prefix
    }

    private func environmentName(_ key: String) -> String {
        (prefix + key.split(separator: ".").map(String.init)).joined(separator: "_").uppercased()
    }

    private func raw(_ key: String, isSecret: Bool = false) -> String? {
        let name = ConfigKey(prefix + key.split(separator: ".").map(String.init))
        if let text = try? reader.requiredString(forKey: name, isSecret: isSecret) { return text.isEmpty ? nil : text }
        // A file may give a number or a boolean as such.
        if let number = try? reader.requiredInt(forKey: name) { return String(number) }
        if let flag = try? reader.requiredBool(forKey: name) { return String(flag) }
        return nil
    }

    private func fault(_ key: String, _ expected: String) -> SettingError {
        SettingError(description: "setting \(environmentName(key)): expected \(expected)")
    }

    /// A text that must be given. An empty value counts as absent, here and below.
    public func required(_ key: String, _ expected: String, isSecret: Bool = false) throws -> String {
        guard let text = raw(key, isSecret: isSecret) else { throw fault(key, "\(expected); it is not set") }
        return text
    }

    public func string(_ key: String, default value: String) -> String { raw(key) ?? value }

    public func optional(_ key: String, isSecret: Bool = false) -> String? { raw(key, isSecret: isSecret) }

    /// A whole number in a range.
    public func integer(_ key: String, default value: Int, in range: ClosedRange<Int>) throws -> Int {
        guard let text = raw(key) else { return value }
        guard let number = Int(text), range.contains(number) else {
            throw fault(key, "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// `true` or `false`.
    public func flag(_ key: String, default value: Bool) throws -> Bool {
        switch raw(key) {
        case nil: return value
        case "true": return true
        case "false": return false
        default: throw fault(key, "true or false")
        }
    }

    /// Whatever `parse` makes of a text; `nil` from it means malformed.
    public func parsed<Value>(
        _ key: String, default value: @autoclosure () -> Value?, _ expected: String, isSecret: Bool = false,
        _ parse: (String) throws -> Value?
    ) throws -> Value {
        guard let text = raw(key, isSecret: isSecret) else {
            guard let value = value() else { throw fault(key, "\(expected); it is not set") }
            return value
        }
        guard let parsed = try? parse(text) else { throw fault(key, expected) }
        return parsed
    }
}
