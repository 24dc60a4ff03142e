import Core
import Foundation

/// A file of settings: `NAME=value` lines as in `compose/.env.example`, where a `#` begins a line that says something else, or one JSON object
/// (`{"martlet": {"log": {"level": "debug"}}}` is `MARTLET_LOG_LEVEL`).
enum SettingsFile {
    /// The values by name, without those that are nobody's setting.
    ///
    /// - Throws: ``SettingError`` that says where the file is malformed, and never shows a value.
    static func read(_ path: String) throws -> [String: String] {
        guard let bytes = FileManager.default.contents(atPath: path), let text = String(data: bytes, encoding: .utf8) else {
            throw SettingError(description: "the file of settings cannot be read: \(path)")
        }
        do {
            return try parse(text)
        } catch let fault as SettingError {
            throw SettingError(description: "\(path): \(fault)")
        }
    }

    static func parse(_ text: String) throws -> [String: String] {
        let isJSON = text.first { !$0.isWhitespace } == "{"
        return try isJSON ? members(of: text) : lines(of: text)
    }

    private static func lines(of text: String) throws -> [String: String] {
        var values: [String: String] = [:]
        for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            let line = line.trimmingCharacters(in: .whitespaces)
            if line.isEmpty || line.hasPrefix("#") { continue }
            guard let sign = line.firstIndex(of: "="), line[..<sign].allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") })
            else { throw SettingError(description: "line \(index + 1): expected NAME=value") }
            let name = String(line[..<sign])
            guard name.hasPrefix("MARTLET_") else { continue }
            let value = unquoted(line[line.index(after: sign)...])
            guard values.updateValue(value, forKey: name) == nil else {
                throw SettingError(key: nil, description: "line \(index + 1): expected \(name) only once")
            }
        }
        return values
    }

    private static func unquoted(_ value: Substring) -> String {
        guard value.count >= 2, let quote = value.first, quote == "\"" || quote == "'", value.last == quote else { return String(value) }
        return String(value.dropFirst().dropLast())
    }

    private static func members(of text: String) throws -> [String: String] {
        guard let json = try? JSONParser.parse(Array(text.utf8)) else { throw SettingError(description: "expected a JSON object") }
        var values: [String: String] = [:]
        try collect(json, name: "", into: &values)
        return values.filter { $0.key.hasPrefix("MARTLET_") }
    }

    private static func collect(_ json: JSON, name: String, into values: inout [String: String]) throws {
        switch json {
        case .object(let object):
            for member in object.members {
                let part = member.name.uppercased()
                try collect(member.value, name: name.isEmpty ? part : "\(name)_\(part)", into: &values)
            }
        case .string(let text), .number(let text): values[name] = text
        case .bool(let flag): values[name] = String(flag)
        case .null: break
        case .array: throw SettingError(description: "\(name): expected a text, a number or a boolean")
        }
    }
}
