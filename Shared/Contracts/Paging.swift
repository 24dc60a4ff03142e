import Core

/// `limit` and `after` of a list (api.md, section 1), for lists that are no resource's.
public struct Paging: Sendable {
    public static let defaultLimit = 50
    public static let maximumLimit = 200

    public let limit: Int
    private let after: String?

    /// Reads the parameters and refuses those that neither it nor the route knows.
    ///
    /// - Throws: ``Problem`` `unknown_parameter`, `invalid_parameter`.
    public init(_ call: Call, further names: [String] = []) throws(Problem) {
        try call.query.allowOnly(["limit", "after"] + names)
        after = call.query["after"]
        guard let text = call.query["limit"] else {
            limit = Self.defaultLimit
            return
        }
        guard let number = Int(text), (1...Self.maximumLimit).contains(number) else {
            throw .invalidParameter("limit", "'limit' is a whole number from 1 to \(Self.maximumLimit).")
        }
        limit = number
    }

    /// Where to go on, or `nil` at the start. A cursor serves the scope that it was made in only: the tenant with the filter.
    ///
    /// - Throws: ``Problem`` `invalid_cursor`.
    public func cursor<Key>(for scope: some CustomStringConvertible, _ read: (String) -> Key?) throws(Problem) -> Key? {
        guard let after else { return nil }
        guard let bytes = Base64URL.decode(after), let text = String(validating: bytes, as: UTF8.self) else { throw Self.invalid }
        let prefix = "\(scope);"
        guard text.hasPrefix(prefix), let key = read(String(text.dropFirst(prefix.count))) else { throw Self.invalid }
        return key
    }

    private static let invalid = Problem(
        .invalidCursor, "Use 'next' of a page of this very list as 'after'.",
        faults: [.init(pointer: "?after", code: "invalid_cursor", detail: "It is no cursor of this list.")])

    /// The page: `found` has one more than ``limit`` when there is a next one.
    public func reply<Element>(
        _ found: [Element], for scope: some CustomStringConvertible, cursor: (Element) -> String, json: (Element) -> JSON
    ) -> Reply {
        let page = found.prefix(limit)
        var next = JSON.null
        if found.count > limit, let last = page.last { next = .string(Base64URL.encode("\(scope);\(cursor(last))".utf8)) }
        return .json(["data": .array(page.map(json)), "page": ["next": next, "limit": .number(limit)]])
    }

    /// For OpenAPI.
    public static let parameters: [Operation.Parameter] = [
        .init(
            "limit", in: .query,
            schema: ["type": "integer", "minimum": 1, "maximum": .number(maximumLimit), "default": .number(defaultLimit)],
            "How many to return."),
        .init("after", in: .query, schema: ["type": "string"], "The next of the page before."),
    ]

    /// The schema of a page of elements.
    public static func schema(of element: JSON) -> JSON {
        [
            "type": "object", "required": ["data", "page"],
            "properties": [
                "data": ["type": "array", "items": element],
                "page": [
                    "type": "object", "required": ["next", "limit"],
                    "properties": ["next": ["type": ["string", "null"]], "limit": ["type": "integer"]],
                ],
            ],
        ]
    }
}
