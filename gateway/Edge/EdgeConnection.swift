import NIOCore

/// A client's connection of any protocol, as its worker sees it.
protocol EdgeConnection: Slotted {
    var client: Client { get }
    /// Bytes of answers that the client has not taken yet, and that nobody else holds.
    var untakenBytes: Int { get }
    /// Called a few times a second.
    func checkDeadlines(now: NIODeadline)
    /// At a stop: what is under way ends in full, and nothing new begins.
    func drain()
    func closeNow()
}

/// An object that stands in at most one ``SlotList``.
protocol Slotted: AnyObject {
    var slot: Int? { get set }
}

/// A list from which an element is taken out at once, in no order.
struct SlotList<Element> {
    private(set) var elements: [Element] = []
    private let slotted: (Element) -> any Slotted

    init(_ slotted: @escaping (Element) -> any Slotted) { self.slotted = slotted }

    var count: Int { elements.count }
    var isEmpty: Bool { elements.isEmpty }

    mutating func insert(_ element: Element) {
        slotted(element).slot = elements.count
        elements.append(element)
    }

    mutating func remove(_ element: Element) {
        guard let slot = slotted(element).slot else { return }
        slotted(element).slot = nil
        let last = elements.removeLast()
        if slot < elements.count {
            elements[slot] = last
            slotted(last).slot = slot
        }
    }
}
