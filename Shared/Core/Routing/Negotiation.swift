extension Call {
    /// The most media ranges that are looked at; browsers send eight.
    static let maximumRanges = 100

    /// Of the media types that a route answers in, the one that `Accept` likes best (RFC 9110, section 12.5.1): the first of those that it
    /// likes the same, and the first of all where it is not sent. Parameters of a type but `q` are passed over, as is what is no media range,
    /// and all behind ``maximumRanges``.
    ///
    /// The answer needs ``Reply/variesByAccept``.
    ///
    /// - Throws: ``Problem`` `not_acceptable`.
    public func preferred(among types: [String]) throws(Problem) -> String {
        guard let accept = header("accept"), !Self.trimmed(accept[...]).isEmpty else { return types[0] }
        let ranges = Self.parts(of: accept, at: ",").prefix(Self.maximumRanges).compactMap(MediaRange.init)
        var best: (type: String, quality: Double)?
        for type in types {
            let range = ranges.filter { $0.covers(type) }.max { $0.precision < $1.precision }
            if let quality = range?.quality, quality > best?.quality ?? 0 { best = (type, quality) }
        }
        if let best { return best.type }
        let detail = "The answer is given as \(types.joined(separator: " or "))."
        throw Problem(.notAcceptable, detail, faults: [.init(pointer: "Accept", code: .unsupportedMediaType, detail: detail)])
    }
}

extension Reply {
    /// For whoever keeps answers: that of a route with several media types depends on `Accept`.
    public static let variesByAccept = (name: "vary", value: "Accept")
}

private struct MediaRange {
    /// `image/png`, `image/*` or `*/*`, in lower case.
    let name: String
    let quality: Double

    init?(_ element: String) {
        let parts = Call.parts(of: element, at: ";").map { Call.trimmed($0[...]).lowercased() }
        guard parts[0].split(separator: "/", omittingEmptySubsequences: false).count == 2 else { return nil }
        name = parts[0]
        let weight = parts.dropFirst().first { $0.hasPrefix("q=") }?.dropFirst(2)
        guard let quality = weight.map({ Double($0) }) ?? 1, (0...1).contains(quality) else { return nil }
        self.quality = quality
    }

    /// The more precise of two counts.
    var precision: Int { name == "*/*" ? 0 : name.hasSuffix("/*") ? 1 : 2 }

    func covers(_ type: String) -> Bool { name == "*/*" || name == type || name.hasSuffix("/*") && type.hasPrefix(name.dropLast()) }
}
