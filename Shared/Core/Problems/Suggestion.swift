/// Finds the valid name that a mistyped one was probably meant to be.
public enum Suggestion {
    /// The most scalars of a name that are repeated.
    static let maximumShown = 64

    /// A name as it is repeated in an answer: at most 64 of its scalars (a character can hold any number of those).
    public static func shown(_ name: String) -> String {
        if name.utf8.count <= maximumShown { return name }
        var shown = ""
        shown.unicodeScalars.append(contentsOf: name.unicodeScalars.prefix(maximumShown))
        return shown
    }

    /// So many faults of one answer at most come with a proposal: the search for one costs more than all else about a fault.
    public static let maximumHints = 10

    /// The nearest candidate by edit distance (insert, delete, replace, transpose neighbours), if at most a third of it differs.
    public static func nearest(to name: String, among candidates: some Sequence<String>) -> String? {
        let wanted = Array(name.utf8.prefix(maximumShown))
        var best: (candidate: String, distance: Int)?
        for candidate in candidates {
            let bytes = Array(candidate.utf8)
            var limit = max(1, max(bytes.count, wanted.count) / 3)
            if let best { limit = min(limit, best.distance) }
            guard let distance = distance(wanted, bytes, limit: limit) else { continue }
            if let best, (best.distance, best.candidate) < (distance, candidate) { continue }
            best = (candidate, distance)
        }
        return best?.candidate
    }

    /// `" Did you mean 'email'?"`, or nothing.
    public static func hint(for name: String, among candidates: some Sequence<String>) -> String {
        nearest(to: name, among: candidates).map { " Did you mean '\($0)'?" } ?? ""
    }

    /// Optimal string alignment distance; `nil` as soon as it is seen to be above the limit.
    private static func distance(_ left: [UInt8], _ right: [UInt8], limit: Int) -> Int? {
        guard abs(left.count - right.count) <= limit else { return nil }
        if left.isEmpty || right.isEmpty { return max(left.count, right.count) }
        let width = right.count + 1
        // Three rows of the table, which take each other's place.
        return withUnsafeTemporaryAllocation(of: Int.self, capacity: 3 * width) { table in
            var (older, old, row) = (2 * width, 0, width)
            for j in 0..<width { table[old + j] = j }
            var oldLeast = 0
            for i in 1...left.count {
                table[row] = i
                var least = i
                for j in 1..<width {
                    var cost = min(
                        table[old + j] + 1, table[row + j - 1] + 1, table[old + j - 1] + (left[i - 1] == right[j - 1] ? 0 : 1))
                    if i > 1, j > 1, left[i - 1] == right[j - 2], left[i - 2] == right[j - 1] {
                        cost = min(cost, table[older + j - 2] + 1)
                    }
                    table[row + j] = cost
                    least = min(least, cost)
                }
                // What follows builds on one of the last two rows.
                if min(least, oldLeast) > limit { return nil }
                oldLeast = least
                (older, old, row) = (old, row, older)
            }
            let distance = table[old + width - 1]
            return distance <= limit ? distance : nil
        }
    }
}
