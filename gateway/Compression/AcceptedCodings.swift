/// What a request says in `Accept-Encoding` of the one coding that answers can have (RFC 9110, 12.5.3).
struct AcceptedCodings: Equatable {
    /// Weights in thousandths; `nil` for what is not named.
    private var gzip: Int16?
    private var identity: Int16?
    /// That of `*`, which stands for all that are not named.
    private var others: Int16?

    /// Whether the client takes gzip, and does not rather have none. One that names no coding is sent none.
    var prefersGzip: Bool {
        let weight = gzip ?? others ?? 0
        return weight > 0 && weight >= identity ?? others ?? 0
    }

    /// Notes the value of one field; there may be several.
    mutating func note(_ value: Range<Int>, _ bytes: UnsafeRawBufferPointer) {
        bytes.forEachElement(in: value) { element in
            let nameEnd = bytes.firstIndex(of: UInt8(ascii: ";"), from: element.lowerBound, to: element.upperBound) ?? element.upperBound
            let name = UnsafeRawBufferPointer(rebasing: bytes[bytes.trimmed(element.lowerBound..<nameEnd)])
            // One whose weight cannot be read is as good as not named.
            guard let weight = Self.weight(nameEnd..<element.upperBound, bytes) else { return }
            if name.isName("gzip") || name.isName("x-gzip") {
                gzip = weight
            } else if name.isName("identity") {
                identity = weight
            } else if name.equals("*") {
                others = weight
            }
        }
    }

    /// The weight in `;q=0.8`, and 1000 where there is none.
    private static func weight(_ range: Range<Int>, _ bytes: UnsafeRawBufferPointer) -> Int16? {
        if range.isEmpty { return 1000 }
        let parameter = bytes.trimmed(range.lowerBound + 1..<range.upperBound)
        guard (3...7).contains(parameter.count), bytes[parameter.lowerBound] | 0x20 == UInt8(ascii: "q"),
            bytes[parameter.lowerBound + 1] == UInt8(ascii: "=")
        else { return nil }
        var weight = 0
        var unit = 1000
        for index in parameter.lowerBound + 2..<parameter.upperBound {
            if index == parameter.lowerBound + 3 {
                guard bytes[index] == UInt8(ascii: ".") else { return nil }
                continue
            }
            let digit = bytes[index] &- UInt8(ascii: "0")
            guard digit < 10 else { return nil }
            weight += Int(digit) * unit
            unit /= 10
        }
        return weight <= 1000 ? Int16(weight) : nil
    }
}
