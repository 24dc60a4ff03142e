/// Writes JSON text into one growing buffer, without an intermediate tree.
public struct JSONWriter: Sendable {
    public private(set) var bytes: [UInt8]

    public init(capacity: Int = 256) {
        bytes = []
        bytes.reserveCapacity(capacity)
    }

    /// Bytes that are JSON already, as Postgres prints a number or a `jsonb`.
    public mutating func raw(_ json: some Sequence<UInt8>) { bytes.append(contentsOf: json) }
    public mutating func raw(_ json: StaticString) {
        bytes.append(contentsOf: UnsafeBufferPointer(start: json.utf8Start, count: json.utf8CodeUnitCount))
    }

    public mutating func string(_ value: some StringProtocol) {
        var copy = String(value)
        copy.withUTF8 { string(utf8: $0) }
    }

    /// A string from UTF-8 that is known to be valid, as Postgres sends it.
    public mutating func string(utf8: UnsafeBufferPointer<UInt8>) { JSONString.append(utf8, to: &bytes) }

    public mutating func value(_ value: JSON) {
        switch value {
        case .null: raw("null")
        case .bool(let value): value ? raw("true") : raw("false")
        case .number(let text): raw(text.utf8)
        case .string(let value): string(value)
        case .array(let elements):
            array { array in
                for element in elements { array.element { $0.value(element) } }
            }
        case .object(let members):
            object { object in
                for member in members.members { object.member(member.name, member.value) }
            }
        }
    }

    // The buffer goes to the inside and comes back, and is never held by both: it would be copied with the next byte.

    public mutating func object(_ body: (inout Object) throws -> Void) rethrows {
        bytes.append(UInt8(ascii: "{"))
        var object = Object(writer: self)
        bytes = []
        defer { swap(&self, &object.writer); bytes.append(UInt8(ascii: "}")) }
        try body(&object)
    }

    public mutating func array(_ body: (inout Array) throws -> Void) rethrows {
        bytes.append(UInt8(ascii: "["))
        var array = Array(writer: self)
        bytes = []
        defer { swap(&self, &array.writer); bytes.append(UInt8(ascii: "]")) }
        try body(&array)
    }

    /// The inside of an object that is being written.
    public struct Object: Sendable {
        fileprivate var writer: JSONWriter
        private var isFirst = true

        fileprivate init(writer: JSONWriter) { self.writer = writer }

        /// Writes the name, then whatever `value` writes.
        public mutating func member(_ name: some StringProtocol, _ value: (inout JSONWriter) throws -> Void) rethrows {
            if isFirst { isFirst = false } else { writer.bytes.append(UInt8(ascii: ",")) }
            writer.string(name)
            writer.bytes.append(UInt8(ascii: ":"))
            try value(&writer)
        }

        public mutating func member(_ name: some StringProtocol, _ value: JSON) { member(name) { $0.value(value) } }
        public mutating func member(_ name: some StringProtocol, _ value: String) { member(name) { $0.string(value) } }
        public mutating func member(_ name: some StringProtocol, _ value: some BinaryInteger) {
            member(name) { $0.raw(String(value).utf8) }
        }
    }

    /// The inside of an array that is being written.
    public struct Array: Sendable {
        fileprivate var writer: JSONWriter
        private var isFirst = true

        fileprivate init(writer: JSONWriter) { self.writer = writer }

        public mutating func element(_ value: (inout JSONWriter) throws -> Void) rethrows {
            if isFirst { isFirst = false } else { writer.bytes.append(UInt8(ascii: ",")) }
            try value(&writer)
        }
    }
}
