import Core

/// `limit` and `after` of a list, for lists that are no resource's.
public struct Paging: Sendable {
    public static let defaultLimit = 50
    public static let maximumLimit = 200

    public let limit: Int
    private let after: String?
    private let cursors: CursorSigner

    /// Reads the parameters and refuses those that neither it nor the route knows.
    ///
    /// - Throws: ``Problem`` `unknown_parameter`, `invalid_parameter`.
    public init(_ call: Call, cursors: CursorSigner, further names: [String] = []) throws(Problem) {
        self.cursors = cursors
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

    /// Where to go on, or `nil` at the start.
    ///
    /// - Parameter list: everything that makes the list what it is: tenant, resource, filter, sort. A cursor serves no other.
    /// - Throws: ``Problem`` `invalid_cursor`.
    public func cursor<Key>(in list: String, _ read: (String) -> Key?) throws(Problem) -> Key? {
        guard let after else { return nil }
        guard let key = try cursors.open(after, list: Array(list.utf8)).string.flatMap(read) else {
            // Sealed for this list, but by a release that wrote its cursors otherwise.
            let detail = "The cursor cannot be read any longer; start again without 'after'."
            throw Problem(.invalidCursor, detail, faults: [.init(pointer: "?after", code: .invalidCursor, detail: detail)])
        }
        return key
    }

    /// The page: `found` has one more than ``limit`` when there is a next one.
    public func reply<Element>(
        _ found: [Element], in list: String, cursor: (Element) -> String, json: (Element) -> JSON
    ) -> Reply {
        let page = found.prefix(limit)
        var next = JSON.null
        if found.count > limit, let last = page.last { next = .string(cursors.seal(.string(cursor(last)), list: Array(list.utf8))) }
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
