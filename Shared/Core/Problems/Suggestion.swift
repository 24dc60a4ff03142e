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

    /// The nearest candidate by edit distance (insert, delete, replace, transpose neighbours), if at most a third of it differs.
    public static func nearest(to name: String, among candidates: some Sequence<String>) -> String? {
        let wanted = Array(name.utf8.prefix(64))
        return
            candidates
            .map { (candidate: $0, distance: distance(wanted, Array($0.utf8))) }
            .filter { $0.distance <= max(1, max($0.candidate.utf8.count, wanted.count) / 3) }
            .min { ($0.distance, $0.candidate) < ($1.distance, $1.candidate) }?.candidate
    }

    /// `" Did you mean 'email'?"`, or nothing.
    public static func hint(for name: String, among candidates: some Sequence<String>) -> String {
        nearest(to: name, among: candidates).map { " Did you mean '\($0)'?" } ?? ""
    }

    /// Optimal string alignment distance.
    private static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        if left.isEmpty || right.isEmpty { return max(left.count, right.count) }
        var previousPrevious: [Int] = []
        var previous = Array(0...right.count)
        for i in 1...left.count {
            var row = [i] + [Int](repeating: 0, count: right.count)
            for j in 1...right.count {
                row[j] = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (left[i - 1] == right[j - 1] ? 0 : 1))
                if i > 1, j > 1, left[i - 1] == right[j - 2], left[i - 2] == right[j - 1] {
                    row[j] = min(row[j], previousPrevious[j - 2] + 1)
                }
            }
            previousPrevious = previous
            previous = row
        }
        return previous[right.count]
    }
}
