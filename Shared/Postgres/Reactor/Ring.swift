/// A first-in, first-out queue that keeps its storage.
struct Ring<Element> {
    private var slots: [Element?]
    private var head = 0
    private(set) var count = 0

    /// The capacity is a power of two; it doubles when needed.
    init() { slots = Array(repeating: nil, count: 16) }

    var isEmpty: Bool { count == 0 }

    /// The element that has waited longest.
    var first: Element? { slots[head] }

    mutating func append(_ element: Element) {
        if count == slots.count { grow() }
        slots[(head + count) & (slots.count - 1)] = element
        count += 1
    }

    @discardableResult
    mutating func popFirst() -> Element? {
        guard count > 0 else { return nil }
        let element = slots[head].take()
        head = (head + 1) & (slots.count - 1)
        count -= 1
        return element
    }

    @discardableResult
    mutating func popLast() -> Element? {
        guard count > 0 else { return nil }
        count -= 1
        return slots[(head + count) & (slots.count - 1)].take()
    }

    /// Changes the first element in place; there must be one.
    mutating func updateFirst(_ body: (inout Element) -> Void) {
        guard count > 0 else { return }
        // A slot between head and head + count is filled.
        body(&slots[head]!)
    }

    mutating func removeAll(where isRemoved: (Element) -> Bool) {
        var kept = Ring()
        while let element = popFirst() {
            if !isRemoved(element) { kept.append(element) }
        }
        self = kept
    }

    func forEach(_ body: (Element) -> Void) {
        for offset in 0..<count {
            if let element = slots[(head + offset) & (slots.count - 1)] { body(element) }
        }
    }

    private mutating func grow() {
        var larger: [Element?] = []
        larger.reserveCapacity(slots.count * 2)
        for offset in 0..<count { larger.append(slots[(head + offset) & (slots.count - 1)]) }
        larger.append(contentsOf: Array(repeating: nil, count: slots.count))
        slots = larger
        head = 0
    }
}
