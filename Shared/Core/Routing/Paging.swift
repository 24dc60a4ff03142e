/// `limit`, `after` and `page` of a list, the same for all lists: how long a page is, where it begins, and where the next one does.
public struct Paging: Sendable {
    public static let defaultLimit = 50
    public static let maximumLimit = 200

    public let limit: Int
    private let after: String?
    /// What a cursor belongs to.
    private let list: [UInt8]
    private let cursors: CursorSigner

    /// Takes the parameters of a query that was checked.
    ///
    /// - Parameters:
    ///   - list: what makes the list what it is beside its parameters: whose it is, its name.
    ///   - shape: parameters that decide neither which elements there are nor their order; one may go on with others.
    public init(_ query: Query, of list: [String], limit: Int, shape: [String] = [], cursors: CursorSigner) {
        self.limit = limit
        self.cursors = cursors
        after = query["after"]
        let items = query.items.filter { !Self.names.contains($0.name) && !shape.contains($0.name) }.sorted { $0.name < $1.name }
        self.list = (list + items.flatMap { [$0.name, $0.value] }).flatMap { Array("\($0.utf8.count):\($0)".utf8) }
    }

    /// Reads the parameters and refuses those that neither it nor the route knows.
    ///
    /// - Throws: ``Problem`` `unknown_parameter`, `invalid_parameter`.
    public init(_ call: Call, of list: [String], further names: [String] = [], cursors: CursorSigner) throws(Problem) {
        try call.query.allowOnly(Self.names + names)
        var limit = Self.defaultLimit
        do throws(ValueFault) {
            if let text = call.query["limit"] { limit = try Self.limit(text) }
        } catch {
            throw .invalidParameter("limit", error.detail)
        }
        self.init(call.query, of: list, limit: limit, cursors: cursors)
    }

    public static func limit(_ text: String) throws(ValueFault) -> Int {
        guard let limit = Int(text), (1...maximumLimit).contains(limit) else {
            throw ValueFault(.outOfRange, "Expected 1 to \(maximumLimit).")
        }
        return limit
    }

    /// Where to go on, or `nil` at the start.
    ///
    /// - Throws: ``Problem`` `invalid_cursor`.
    public func position<Position>(_ read: (JSON) -> Position?) throws(Problem) -> Position? {
        guard let after else { return nil }
        // One of this list that is not read was sealed by a release that wrote its cursors otherwise.
        guard let position = read(try cursors.open(after, list: list)) else { throw CursorSigner.refusal }
        return position
    }

    /// The member `page`.
    ///
    /// - Parameter next: the position that the next page begins behind; `nil` on the last.
    public func page(next: JSON?) -> JSONObject {
        var page = JSONObject()
        page["next"] = next.map { .string(cursors.seal($0, list: list)) } ?? .null
        page["limit"] = .number(limit)
        return page
    }

    /// The answer: `found` has one more than ``limit`` when there is a next page.
    public func reply<Element>(_ found: [Element], position: (Element) -> JSON, json: (Element) -> JSON) -> Reply {
        let shown = found.prefix(limit)
        let next = found.count > limit ? shown.last.map(position) : nil
        return .json(["data": .array(shown.map(json)), "page": .object(page(next: next))])
    }

    /// The answer of a list that is always whole.
    public static func reply(whole elements: [JSON]) -> Reply {
        .json(["data": .array(elements), "page": ["next": .null, "limit": .number(maximumLimit)]])
    }

    private static let names = parameters.map(\.name)

    /// For OpenAPI.
    public static let parameters: [Operation.Parameter] = [
        .init(
            "limit", in: .query,
            schema: ["type": "integer", "minimum": 1, "maximum": .number(maximumLimit), "default": .number(defaultLimit)],
            "How many to return."),
        .init("after", in: .query, schema: ["type": "string"], "The next of the page before."),
    ]

    /// The schema of a page of elements.
    ///
    /// - Parameter further: members of `page` beside its own.
    public static func schema(of element: JSON, further: JSONObject = JSONObject()) -> JSON {
        var page = JSONObject()
        page["next"] = ["type": ["string", "null"], "description": "The cursor for after=; null on the last page."]
        page["limit"] = ["type": "integer"]
        for member in further.members { page[member.name] = member.value }
        return [
            "type": "object", "required": ["data", "page"],
            "properties": [
                "data": ["type": "array", "items": element],
                "page": ["type": "object", "required": ["next", "limit"], "properties": .object(page)],
            ],
        ]
    }
}
