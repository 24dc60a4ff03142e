/// How a route is documented in `/openapi.json`.
public struct Operation: Sendable {
    public struct Parameter: Sendable {
        public enum Place: String, Sendable { case query, header, path }
        public var name: String
        public var place: Place
        public var schema: JSON
        public var description: String
        /// Whether it also has members in brackets, as in `score[gte]=50`; OpenAPI's `deepObject`.
        public var hasMembers: Bool

        public init(_ name: String, in place: Place, schema: JSON, _ description: String, hasMembers: Bool = false) {
            self.name = name
            self.place = place
            self.schema = schema
            self.description = description
            self.hasMembers = hasMembers
        }

        /// For a write that may be repeated: its errors and the header of a replayed answer are documented with it.
        public static let idempotencyKey = Parameter(
            "Idempotency-Key", in: .header, schema: ["type": "string", "minLength": 1, "maxLength": 255],
            "A repeat with the same key gets the first answer; kept for 24 hours. A JSON body is the same when its value is.")
        /// For a write to a record that has a version.
        public static let ifMatch = Parameter(
            "If-Match", in: .header, schema: ["type": "string"], "The ETag that the record must still have.")
        /// For a write that makes a record or changes it.
        public static let onlyMakes = Parameter(
            "If-None-Match", in: .header, schema: ["type": "string", "const": "*"], "With * nothing that is there is changed.")
        /// For a create that can look for records that are the same; the header of an answer that has is documented with it.
        public static let prefer = Parameter(
            "Prefer", in: .header, schema: ["type": "string", "example": "duplicates=refuse"],
            "With duplicates=refuse nothing is made where there may be a record of it already (RFC 7240); other preferences are passed over."
        )
        /// For a read of a record that has a version; the answer 304 is documented with it.
        public static let ifNoneMatch = Parameter(
            "If-None-Match", in: .header, schema: ["type": "string"], "Answers 304 when it names the version.")
    }

    public struct Response: Sendable {
        public var status: Int
        public var description: String
        public var schema: JSON?
        /// Media types that it is given in too where `Accept` likes them better than JSON; `not_acceptable` and `Vary` are documented with them.
        public var alternatives: [String]
        /// Header fields of its own, beside those that follow from the operation's parameters.
        public var headers: [Header]

        public init(_ status: Int, _ description: String, schema: JSON? = nil, alternatives: [String] = [], headers: [Header] = []) {
            self.status = status
            self.description = description
            self.schema = schema
            self.alternatives = alternatives
            self.headers = headers
        }
    }

    /// A header field of an answer, with one sentence about it.
    public struct Header: Sendable {
        public var name: String
        public var description: String

        public init(name: String, description: String) {
            self.name = name
            self.description = description
        }

        public static let location = Header(name: "Location", description: "The path of the new record.")
        public static let tag = Header(name: "ETag", description: "The version in quotes, for If-Match and If-None-Match.")
        public static let preferenceApplied = Header(
            name: Preference.appliedHeader, description: "The preference of the request that the answer goes by.")
        public static let vary = Header(name: "Vary", description: "Accept: the answer depends on it.")
        public static let replayed = Header(name: "Idempotent-Replayed", description: "true on an answer that was given before.")
    }

    /// Unique over all services, camel case: `createLead`.
    public var id: String
    public var summary: String
    /// What a caller must know beyond the summary: full sentences; may be empty.
    public var description: String
    /// The resource's name; operations are grouped by it.
    public var tag: String
    /// Query and header parameters; one of the path only where it is no id, the others are derived from the template.
    public var parameters: [Parameter]
    /// JSON Schema of the body, or `nil` when there is none.
    public var body: JSON?
    /// A body as somebody would send it.
    public var bodyExample: JSON?
    public var responses: [Response]
    /// The errors of its own, beside those that follow from who may call it and what it takes.
    public var errors: [ErrorCode]

    public init(
        id: String, summary: String, description: String = "", tag: String, parameters: [Parameter] = [], body: JSON? = nil,
        bodyExample: JSON? = nil, responses: [Response] = [], errors: [ErrorCode] = []
    ) {
        self.id = id
        self.summary = summary
        self.description = description
        self.tag = tag
        self.parameters = parameters
        self.body = body
        self.bodyExample = bodyExample
        self.responses = responses
        self.errors = errors
    }
}

extension Operation.Parameter {
    fileprivate var json: JSON {
        var object = JSONObject()
        object["name"] = .string(name)
        object["in"] = .string(place.rawValue)
        object["required"] = .bool(place == .path)
        object["description"] = .string(description)
        if hasMembers {
            object["style"] = "deepObject"
            object["explode"] = true
        }
        object["schema"] = schema
        return .object(object)
    }
}

extension Operation {
    private func takes(_ parameter: Parameter) -> Bool { parameters.contains { $0.name == parameter.name } }

    /// Its own errors and those that follow from what it takes; faults of HTTP itself, which no sound client makes, are left out.
    fileprivate func allErrors(isOpen: Bool, hasPathParameters: Bool) -> Set<ErrorCode> {
        var codes: Set<ErrorCode> = [
            .invalidParameter, .unknownParameter, .rateLimited, .internal, .upstreamUnavailable, .overloaded, .deadlineExceeded,
        ]
        codes.formUnion(errors)
        if !isOpen { codes.formUnion([.unauthenticated, .tokenExpired, .tokenStale, .forbidden, .tenantMismatch, .tenantSuspended]) }
        if hasPathParameters { codes.insert(.notFound) }
        if body != nil {
            codes.formUnion([.invalidJSON, .unknownMember, .validationFailed, .unsupportedMediaType, .bodyTooLarge, .requestTimeout])
        }
        if takes(.idempotencyKey) { codes.formUnion([.idempotencyKeyReused, .idempotencyInProgress]) }
        if takes(.ifMatch) { codes.insert(.versionMismatch) }
        if responses.contains(where: { !$0.alternatives.isEmpty }) { codes.insert(.notAcceptable) }
        if parameters.contains(where: { $0.name == "after" }) { codes.insert(.invalidCursor) }
        return codes
    }

    fileprivate func allResponses(to method: Method) -> [Response] {
        var all = responses
        for index in all.indices {
            if all[index].schema != nil, takes(.ifMatch) || takes(.ifNoneMatch) { all[index].headers.append(.tag) }
            if takes(.idempotencyKey) { all[index].headers.append(.replayed) }
            if takes(.prefer) { all[index].headers.append(.preferenceApplied) }
            if !all[index].alternatives.isEmpty { all[index].headers.append(.vary) }
        }
        if takes(.ifNoneMatch), method == .get { all.append(Response(304, "Not changed.")) }
        return all
    }
}

/// Builds OpenAPI 3.1 from routes.
public enum OpenAPI {
    /// A document of the routes that the gateway serves; those for other services are left out.
    ///
    /// - Parameter schemas: named schemas that operations refer to as `#/components/schemas/<name>`.
    public static func document(routes: [Route], schemas: [(name: String, schema: JSON)] = []) -> JSON {
        var paths = JSONObject()
        for route in routes where route.access != .service {
            var item = paths[route.path]?.object ?? JSONObject()
            item[route.method.rawValue.lowercased()] = operation(of: route)
            paths[route.path] = .object(item)
        }
        var components = JSONObject()
        components["Problem"] = problemSchema
        for (name, schema) in schemas { components[name] = schema }
        return [
            "openapi": "3.1.0",
            "info": [
                "title": "Martlet", "version": "1",
                "description": .string(introduction),
            ],
            "paths": .object(paths),
            "components": [
                "schemas": .object(components),
                "securitySchemes": [
                    "bearer": [
                        "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                        "description": "The access token that signing in or refreshing gives; it lasts ten minutes.",
                    ]
                ],
            ],
        ]
    }

    private static let introduction = """
        A multi-tenant CRM platform. Sign in with POST /v1/auth/login and send the access token with each request. Errors are \
        application/problem+json (RFC 9457) with a stable code; input is checked strictly, and all its faults are told at once. Text is \
        kept without blank ends, in Unicode's form NFC and with LF as its line end; a text that shows nothing is null. Every answer tells \
        the limits that count in RateLimit and RateLimit-Policy, and has an X-Request-Id; name it when you report a fault.
        """

    /// The names in braces of a template.
    public static func parameterNames(in path: String) -> [String] {
        path.split(separator: "/").filter { $0.hasPrefix("{") && $0.hasSuffix("}") }.map { String($0.dropFirst().dropLast()) }
    }

    private static func operation(of route: Route) -> JSON {
        let operation = route.operation
        var object: JSONObject = JSONObject()
        object["operationId"] = .string(operation.id)
        object["summary"] = .string(operation.summary)
        var description = operation.description
        object["tags"] = [.string(operation.tag)]
        var isOpen = false
        switch route.access {
        case .permission(let permission):
            object["x-permission"] = .string(permission.description)
            guard permission.action == .update else { break }
            description += description.isEmpty ? "" : " "
            description += "Needs \(permission.resource.rawValue).read too, as the answer shows what was changed."
        case .anonymous: isOpen = true
        case .member, .service: break
        }
        if !description.isEmpty { object["description"] = .string(description) }
        object["security"] = isOpen ? [] : [["bearer": []]]
        let pathParameters = parameterNames(in: route.path).map { name in
            operation.parameters.first { $0.place == .path && $0.name == name }
                ?? Operation.Parameter(name, in: .path, schema: ["type": "string", "format": "uuid"], "The \(name).")
        }
        let parameters = pathParameters + operation.parameters.filter { $0.place != .path }
        if !parameters.isEmpty {
            object["parameters"] = .array(parameters.map(\.json))
        }
        if let body = operation.body {
            var content: JSONObject = JSONObject()
            content["schema"] = body
            if let example = operation.bodyExample { content["example"] = example }
            object["requestBody"] = ["required": true, "content": ["application/json": .object(content)]]
        }
        switch route.streaming {
        case .upload(let types, let limit):
            var content = JSONObject()
            for type in types { content[type] = [:] }
            object["requestBody"] = ["required": true, "content": .object(content)]
            object["x-body-limit"] = .number(limit)
        case .answer: object["x-streams"] = true
        case nil: break
        }
        var responses = JSONObject()
        for response in operation.allResponses(to: route.method) {
            var value: JSONObject = JSONObject()
            value["description"] = .string(response.description)
            if let schema = response.schema {
                var content = JSONObject()
                content[Reply.jsonType] = ["schema": schema]
                for type in response.alternatives { content[type] = ["schema": ["type": "string"]] }
                value["content"] = .object(content)
            }
            if !response.headers.isEmpty {
                value["headers"] = .object(
                    response.headers.reduce(into: JSONObject()) {
                        $0[$1.name] = ["description": .string($1.description), "schema": ["type": "string"]]
                    })
            }
            responses[String(response.status)] = .object(value)
        }
        var errors = operation.allErrors(isOpen: isOpen, hasPathParameters: !pathParameters.isEmpty)
        if case .upload = route.streaming { errors.formUnion([.unsupportedMediaType, .bodyTooLarge, .requestTimeout, .invalidRequest]) }
        for (status, codes) in Dictionary(grouping: errors, by: \.status).sorted(by: { $0.key < $1.key }) {
            let names = codes.map(\.rawValue).sorted().joined(separator: ", ")
            responses[String(status)] = [
                "description": .string(names),
                "content": ["application/problem+json": ["schema": ["$ref": "#/components/schemas/Problem"]]],
            ]
        }
        object["responses"] = .object(responses)
        return .object(object)
    }

    private static let problemSchema: JSON = [
        "type": "object",
        "required": ["type", "title", "status", "code", "detail", "request_id"],
        "properties": [
            "type": ["type": "string", "format": "uri", "description": "Names the code as a URI."],
            "title": ["type": "string", "description": "What the code means, the same each time."],
            "status": ["type": "integer", "description": "The HTTP status."],
            "code": [
                "type": "string", "enum": .array(ErrorCode.allCases.map { .string($0.rawValue) }),
                "description": "For programs: stable, and never used for another fault.",
            ],
            "detail": ["type": "string", "description": "What went wrong this time, for a person."],
            "request_id": ["type": "string", "description": "As in X-Request-Id."],
            "id": [
                "type": "string",
                "description":
                    "With already_exists: the record of your tenant that is in the way, if you may read it. With merged: what the record was merged into.",
            ],
            "ids": [
                "type": "array", "items": ["type": "string", "format": "uuid"],
                "description": "With duplicate: the records that may be the same, as far as you may read them.",
            ],
            "others": ["type": "boolean", "description": "With duplicate: whether there are some that you may not read."],
            "restorable": ["type": "boolean", "description": "With already_exists: whether that record is deleted and can be restored."],
            "errors": [
                "type": "array",
                "items": [
                    "type": "object", "required": ["pointer", "code", "detail"],
                    "properties": [
                        "pointer": [
                            "type": "string", "examples": ["/email"],
                            "description": "The place: a JSON pointer into the body, ?name of the query, or a header's name.",
                        ], "code": ["type": "string", "enum": .array(FaultCode.allCases.map { .string($0.rawValue) })],
                        "detail": ["type": "string"],
                    ],
                ],
            ],
        ],
    ]
}
