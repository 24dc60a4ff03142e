extension PhoneNumber {
    /// The countries (ISO 3166-1, two letters) that numbers can be dialled from.
    public static let countries = NumberingPlan.countries.sorted()

    /// The number in E.164, `+49405550101`: two spellings of one number have the same. An extension and what stands around the number are left
    /// out.
    ///
    /// Reads as libphonenumber does, by whose metadata the length and the form of a number are told; whether anybody has it they do not tell.
    /// - Parameters:
    ///   - given: as ``checked(_:)`` gives it.
    ///   - country: where it is dialled from if it does not begin with a plus; one of ``countries``, or `nil` where that is not known.
    /// - Returns: `nil` when it cannot be read: too short, cut off, of no country, or of one that is not known.
    public static func e164(_ given: String, from country: String?) -> String? {
        let plan = country.flatMap(NumberingPlan.of(country:))
        guard let text = PhoneText(given)?.withoutExtension, let number = InternationalNumber(text, from: plan) else { return nil }
        let digits = number.callingCode + number.digits
        let isOne = NumberingPlan.all(with: number.callingCode).contains { $0.has(number.digits) }
        // ITU-T E.164 has 15 digits at most; a few plans go beyond.
        guard isOne, digits.count <= 15 else { return nil }
        return String(decoding: [UInt8(ascii: "+")] + digits.map { $0 + 0x30 }, as: UTF8.self)
    }
}

/// What a number was written with, each sign as the ASCII sign that it stands for.
private struct PhoneText {
    private var bytes: ArraySlice<UInt8>

    /// From the first digit or plus to the last letter, digit or #, and one number of several; `nil` when there is none.
    init?(_ given: String) {
        let all = given.unicodeScalars.map(Self.plain)
        guard let first = all.firstIndex(where: { $0 == Self.plus || Self.isDigit($0) }),
            let last = all.lastIndex(where: { Self.isDigit($0) || Self.isLetter($0) || $0 == Self.otherLetter || $0 == UInt8(ascii: "#") }),
            first <= last
        else { return nil }
        bytes = all[first...last]
        // The second of two extensions, (530) 583-6985 x302/x2303, and an ISDN subaddress.
        let second = bytes.indices.first { place in
            guard bytes[place] == UInt8(ascii: "/") || bytes[place] == UInt8(ascii: "\\") else { return false }
            return bytes[(place + 1)...].first { $0 != Self.blank } == UInt8(ascii: "x")
        }
        if let second { bytes = bytes[..<second] }
        if let subaddress = bytes.indices.first(where: { bytes[$0...].starts(with: ";isub=".utf8) }) { bytes = bytes[..<subaddress] }
    }

    private init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

    /// `nil` when it is no number.
    var withoutExtension: PhoneText? {
        if let number = beforeExtension.map({ PhoneText($0) }), number.isNumber { return number }
        return isNumber ? self : nil
    }

    var beginsWithPlus: Bool { bytes.first == Self.plus }

    /// The digits without what stands between them. Three letters or more are the digits of their keys (ITU-T E.161).
    var digits: [UInt8] {
        let hasLetters = bytes.count(where: Self.isLetter) >= 3
        return bytes.compactMap { byte in
            if Self.isDigit(byte) { return byte - 0x30 }
            return hasLetters && Self.isLetter(byte) ? Self.keys[Int(byte - UInt8(ascii: "a"))] : nil
        }
    }

    private static let keys: [UInt8] = [2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6, 7, 7, 7, 7, 8, 8, 8, 9, 9, 9, 9]

    // MARK: Signs

    private static let plus = UInt8(ascii: "+")
    private static let blank = UInt8(ascii: " ")
    /// What is in no number, and neither a letter.
    private static let otherSign: UInt8 = 0
    /// A letter that is in no number.
    private static let otherLetter: UInt8 = 0x80
    /// Those of the Russian word for an extension.
    private static let cyrillic: [UInt8] = [0x81, 0x82, 0x83]

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
    private static func isLetter(_ byte: UInt8) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) }

    /// What stands between digits; `x` for a carrier's code, as in Brazil.
    private static func isBetween(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "-"), blank, UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: "."), UInt8(ascii: "/"), UInt8(ascii: "~"),
            UInt8(ascii: "x"), UInt8(ascii: "*"):
            true
        default: false
        }
    }

    private static func plain(_ scalar: Unicode.Scalar) -> UInt8 {
        if let digit = PhoneNumber.digit(scalar) { return digit + 0x30 }
        switch scalar {
        case "A"..."Z": return UInt8(scalar.value) + 0x20
        case "[": return UInt8(ascii: "(")
        case "]": return UInt8(ascii: ")")
        case "_": return otherSign
        case _ where scalar.isASCII: return UInt8(scalar.value)
        case "\u{FF0B}": return plus
        case "\u{2010}"..."\u{2015}", "\u{2212}", "\u{30FC}", "\u{FF0D}": return UInt8(ascii: "-")
        case "\u{A0}", "\u{3000}": return blank
        case "\u{FF08}", "\u{FF3B}": return UInt8(ascii: "(")
        case "\u{FF09}", "\u{FF3D}": return UInt8(ascii: ")")
        case "\u{FF0E}": return UInt8(ascii: ".")
        case "\u{FF0F}": return UInt8(ascii: "/")
        case "\u{2053}", "\u{223C}", "\u{FF5E}": return UInt8(ascii: "~")
        case "\u{FF03}": return UInt8(ascii: "#")
        case "\u{FF45}", "\u{FF49}", "\u{FF4E}", "\u{FF54}", "\u{FF58}": return UInt8(scalar.value - 0xFEE0)
        case "ó", "Ó": return UInt8(ascii: "o")
        case "д", "Д": return cyrillic[0]
        case "о", "О": return cyrillic[1]
        case "б", "Б": return cyrillic[2]
        default: return scalar.properties.isAlphabetic || scalar.properties.numericType != nil ? otherLetter : otherSign
        }
    }

    // MARK: Form

    /// Whether it has three digits, then letters too, with nothing but signs between them; or two digits and nothing else.
    private var isNumber: Bool {
        var count = 0
        let number = bytes.drop { $0 == Self.plus }
        for byte in number {
            if Self.isDigit(byte) {
                count += 1
            } else if !Self.isBetween(byte), count < 3 || !Self.isLetter(byte) {
                return false
            }
        }
        return count >= 3 || count == 2 && bytes.count == 2
    }

    /// What stands before an extension at the end, however that is written; `nil` when there is none.
    private var beforeExtension: ArraySlice<UInt8>? {
        let hasHash = bytes.last == UInt8(ascii: "#")
        let written = hasHash ? bytes.dropLast() : bytes
        let label = Self.dropping(written, Self.isDigit)
        let count = written.count - label.count
        guard count > 0 else { return nil }
        let separators = Set(" ,-".utf8)
        let blanks = Set(" ,".utf8)
        /// The beginnings of what could be one; the first of them counts.
        var beginnings: [ArraySlice<UInt8>] = []
        if !hasHash, count <= 20, label.ends(with: ";ext=".utf8) { beginnings.append(label.dropLast(5)) }
        if hasHash, count <= 6, let last = label.last, last == Self.blank || last == UInt8(ascii: "-") {
            beginnings.append(Self.dropping(label) { $0 == Self.blank || $0 == UInt8(ascii: "-") })
        }
        let bare = Self.dropping(label, separators.contains)
        let isStopped = bare.last == UInt8(ascii: ":") || bare.last == UInt8(ascii: ".")
        for word in isStopped ? [bare, bare.dropLast()] : [bare] {
            for (names, maximum) in [(Self.extensionNames, 20), (Self.extensionSigns, 9)] where count <= maximum {
                for name in names where word.ends(with: name) {
                    beginnings.append(Self.dropping(word.dropLast(name.count), blanks.contains))
                }
            }
            if count <= 15, word.last == UInt8(ascii: ";") { beginnings.append(Self.dropping(word.dropLast()) { $0 == Self.blank }) }
        }
        // Commas are pauses, after which it is dialled.
        let pauses = isStopped ? Self.dropping(bare.dropLast()) { $0 == UInt8(ascii: ",") } : bare
        let between = isStopped ? bare[pauses.endIndex..<bare.endIndex - 1] : label[bare.endIndex...]
        if let comma = between.firstIndex(of: UInt8(ascii: ",")) {
            let isDouble = between[(comma + 1)...].first == UInt8(ascii: ",")
            if count <= (isDouble ? 15 : 9) { beginnings.append(Self.dropping(bytes[..<comma]) { $0 == Self.blank }) }
        }
        return beginnings.min { $0.count < $1.count }
    }

    private static let extensionNames: [[UInt8]] =
        ["xt", "xtn", "xtensi", "xtensin", "xtensio", "xtension"].flatMap { [Array($0.utf8), Array("e\($0)".utf8)] }
        + [Array("anexo".utf8), cyrillic]
    private static let extensionSigns: [[UInt8]] = ["x", "#", "~", "int"].map { Array($0.utf8) }

    /// Without the bytes at the end for which it holds.
    private static func dropping(_ bytes: ArraySlice<UInt8>, _ isDropped: (UInt8) -> Bool) -> ArraySlice<UInt8> {
        bytes[..<(bytes.lastIndex { !isDropped($0) }.map { $0 + 1 } ?? bytes.startIndex)]
    }
}

extension ArraySlice<UInt8> {
    fileprivate func ends(with other: some Collection<UInt8>) -> Bool { suffix(other.count).elementsEqual(other) }
}

/// A number with its calling code.
private struct InternationalNumber {
    var callingCode: [UInt8]
    var digits: [UInt8]

    /// - Parameter home: the plan of the country that it is dialled from.
    init?(_ text: PhoneText, from home: NumberingPlan?) {
        let written = text.digits
        if text.beginsWithPlus {
            guard written.count > 2 else { return nil }
            if let number = Self(international: written) {
                self = number.withoutNationalPrefix
                return
            }
        }
        guard let home else { return nil }
        if let prefix = home.internationalPrefix?.prefix(of: written), prefix.end == written.count || written[prefix.end] != 0 {
            let rest = Array(written[prefix.end...])
            guard rest.count > 2, let number = Self(international: rest) else { return nil }
            self = number.withoutNationalPrefix
            return
        }
        if let number = Self(writtenWithoutPlus: written, at: home) {
            self = number.withoutNationalPrefix
            return
        }
        // Nothing follows a plus but a calling code.
        guard !text.beginsWithPlus else { return nil }
        self = Self(callingCode: home.callingCode, digits: written).withoutNationalPrefix(home)
    }

    private init(callingCode: [UInt8], digits: [UInt8]) {
        self.callingCode = callingCode
        self.digits = digits
    }

    /// A number from its calling code on; `nil` when there is no such code.
    private init?(international digits: [UInt8]) {
        guard let length = (1...3).first(where: { $0 <= digits.count && !NumberingPlan.all(with: Array(digits[..<$0])).isEmpty })
        else { return nil }
        self.init(callingCode: Array(digits[..<length]), digits: Array(digits[length...]))
    }

    /// A number of the same country that begins with its calling code, where it would be none otherwise.
    private init?(writtenWithoutPlus digits: [UInt8], at home: NumberingPlan) {
        guard digits.starts(with: home.callingCode) else { return nil }
        let rest = home.withoutNationalPrefix(Array(digits[home.callingCode.count...]))
        guard !home.pattern.matches(digits) && home.pattern.matches(rest) || home.length(of: digits) == .tooLong else { return nil }
        self.init(callingCode: home.callingCode, digits: rest)
    }

    /// As it is written in the main country of its calling code.
    private var withoutNationalPrefix: Self { NumberingPlan.all(with: callingCode).first.map { withoutNationalPrefix($0) } ?? self }

    private func withoutNationalPrefix(_ plan: NumberingPlan) -> Self {
        let rest = plan.withoutNationalPrefix(digits)
        switch plan.length(of: rest) {
        case .possible, .tooLong: return Self(callingCode: callingCode, digits: rest)
        case .tooShort, .between: return self
        }
    }
}
