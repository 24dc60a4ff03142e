/// One setting as operators see it. The lists of these are what `--help` prints and what the documents are held against.
public struct Setting: Sendable, Hashable {
    /// The dotted name: `postgres.host`, which is `MARTLET_POSTGRES_HOST` in the environment.
    public let key: String
    /// What counts when it is not set, in words or as it would be written; empty for nothing.
    public let standard: String
    /// One sentence: what it is, its unit and range.
    public let meaning: String
    /// Never logged, and also taken from the file that the name with `_FILE` behind it gives.
    public let isSecret: Bool
    /// The start stops without it.
    public let isRequired: Bool

    public init(_ key: String, _ standard: String = "", isSecret: Bool = false, isRequired: Bool = false, _ meaning: String) {
        self.key = key
        self.standard = standard
        self.meaning = meaning
        self.isSecret = isSecret
        self.isRequired = isRequired
    }

    /// The name of the environment variable.
    public var name: String { Self.name(of: key) }

    static func name(of key: String) -> String { "MARTLET_" + key.uppercased().replacing(".", with: "_") }

    /// The list as help text, a line or two each.
    public static func help(_ settings: [Setting]) -> String {
        let lines = settings.map { setting in
            let standard =
                setting.isRequired ? "required" : setting.standard.isEmpty ? "not set" : "default \(setting.standard)"
            let file = setting.isSecret ? "; secret, or \(setting.name)_FILE" : ""
            return "\(setting.name) (\(standard)\(file))\n    \(setting.meaning)"
        }
        return "Settings, from the environment or the file that MARTLET_CONFIG_FILE names (NAME=value lines, or JSON):\n\n"
            + lines.joined(separator: "\n")
    }
}
