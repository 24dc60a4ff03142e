/// What a client would rather have, and is not refused for when it is not known (RFC 7240).
public struct Preference: Sendable, Hashable {
    public var name: String
    public var value: String

    /// Nothing is made where there may be a record of it already.
    public static let refusesDuplicates = Preference(name: "duplicates", value: "refuse")

    /// The header of an answer that goes by a preference.
    public static let appliedHeader = "Preference-Applied"
    /// Its field.
    public var applied: (name: String, value: String) { (Self.appliedHeader.lowercased(), "\(name)=\(value)") }
}

extension Call {
    /// Whether a header `Prefer` has it. Of one that is named twice the first counts; what is not understood is passed over.
    public func prefers(_ preference: Preference) -> Bool {
        for header in headers where header.name == "prefer" {
            for element in Self.parts(of: header.value, at: ",") {
                let token = Self.parts(of: element, at: ";")[0].split(separator: "=", maxSplits: 1).map(Self.trimmed)
                guard let name = token.first, name.lowercased() == preference.name else { continue }
                let value = token.count > 1 ? token[1] : ""
                return (value.hasPrefix("\"") && value.hasSuffix("\"") ? value.dropFirst().dropLast() : value[...]) == preference.value
            }
        }
        return false
    }

    /// What stands between the separators that are in no quotes; one part at least.
    static func parts(of text: some StringProtocol, at separator: Character) -> [String] {
        var parts = [""]
        var isQuoted = false
        for character in text {
            if character == "\"" { isQuoted.toggle() }
            if character == separator, !isQuoted { parts.append("") } else { parts[parts.count - 1].append(character) }
        }
        return parts
    }

    static func trimmed(_ text: Substring) -> String {
        let isBlank = { (character: Character) in character == " " || character == "\t" }
        return String(text.drop(while: isBlank).reversed().drop(while: isBlank).reversed())
    }
}
