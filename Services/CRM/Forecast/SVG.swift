/// Writes SVG (1.1, as XML): every text and value is escaped on its way in, so none of them is ever markup.
struct SVG {
    private(set) var text = ""

    typealias Attributes = KeyValuePairs<StaticString, any CustomStringConvertible>

    /// An element with elements inside.
    mutating func element(_ name: StaticString, _ attributes: Attributes = [:], _ content: (inout SVG) -> Void) {
        open(name, attributes)
        text += ">"
        content(&self)
        text += "</\(name)>"
    }

    /// An element with text, or with nothing.
    mutating func element(_ name: StaticString, _ attributes: Attributes = [:], _ content: String = "") {
        open(name, attributes)
        text += content.isEmpty ? "/>" : ">\(Self.escaped(content))</\(name)>"
    }

    private mutating func open(_ name: StaticString, _ attributes: Attributes) {
        text += "<\(name)"
        for (name, value) in attributes { text += " \(name)=\"\(Self.escaped(value.description))\"" }
    }

    /// What XML 1.0 has no way to write becomes U+FFFD.
    private static func escaped(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "\t", "\n", "\r": escaped += " "
            case "\u{0}"..<" ", "\u{FFFE}", "\u{FFFF}": escaped += "\u{FFFD}"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}
