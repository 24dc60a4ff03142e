import Core
import Postgres

/// By what two records of a resource may be one (``ResourceDefinition/duplicates``).
public enum DuplicateMatch: Sendable, Hashable {
    /// By a field of the kind `email`: the same address, whatever its case. The table has it among its filters' words.
    case email(String)
    /// By a field of the kind `phone`: the same number in E.164.
    case phone(String)
    /// By a field of the kind `hostName` and one of the kind `url`: the same host in either, unless anybody may have a place there (``SharedHosts``).
    /// The table has the first among its filters' words, and the host of the second under `site`.
    case host(String, website: String)
    /// By fields that together are a name: a similar one, compared by the groups of three letters that they have in common (`pg_trgm`).
    case name([String])

    /// The fields that it compares.
    var fields: [String] {
        switch self {
        case .email(let name), .phone(let name): [name]
        case .host(let name, let website): [name, website]
        case .name(let names): names
        }
    }

    /// What an answer calls it.
    var reason: String {
        switch self {
        case .email(let name), .phone(let name), .host(let name, _): name
        case .name: "name"
        }
    }

    /// How sure it is, of 100; of names those that are the same.
    var weight: Int {
        switch self {
        case .email: 90
        case .host: 80
        case .phone: 75
        case .name: 60
        }
    }

    /// Whether it holds or does not; names are more or less alike.
    var isExact: Bool { if case .name = self { false } else { true } }

    /// A score of less is none: names that have less than half in common.
    static let lowestScore = 30

    /// For the public document.
    var rule: String {
        switch self {
        case .email(let name): "the same \(name), whatever its case"
        case .phone(let name): "the same number in \(name)_e164"
        case .host(let name, let website):
            "the same host in \(name) or \(website), unless anybody may have a place there, such as gmail.com"
        case .name(let names): "a similar \(names.joined(separator: " and "))"
        }
    }
}
