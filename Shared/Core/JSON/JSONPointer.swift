/// Places in a JSON document (RFC 6901).
public enum JSONPointer {
    /// The part of a pointer that leads to a member, with its `/`; a long name is shortened as in ``Suggestion/shown(_:)``.
    public static func segment(_ name: String) -> String {
        let isPlain =
            name.utf8.count <= Suggestion.maximumShown && !name.utf8.contains { $0 == UInt8(ascii: "~") || $0 == UInt8(ascii: "/") }
        if isPlain { return "/" + name }
        var segment = "/"
        for scalar in Suggestion.shown(name).unicodeScalars {
            switch scalar {
            case "~": segment += "~0"
            case "/": segment += "~1"
            default: segment.unicodeScalars.append(scalar)
            }
        }
        return segment
    }
}
