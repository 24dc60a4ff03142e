import Core

/// Requests that wait for a connection: those of one tenant in their order, the tenants in turn. So who sends much waits for itself.
struct FairQueue {
    private var queues: [TenantID?: Ring<Request>] = [:]
    /// Everyone with a queue, once.
    private var turns = Ring<TenantID?>()
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    mutating func append(_ request: Request) {
        if queues[request.tenant] == nil { turns.append(request.tenant) }
        queues[request.tenant, default: Ring()].append(request)
        count += 1
    }

    /// What came of handing on a request.
    enum Outcome {
        case started
        /// Its tenant has to wait; others may go on.
        case tenantMustWait
        /// There is no connection for anyone.
        case allMustWait
    }

    /// Hands on the oldest request of each tenant in turn, until no more can start. Those that were answered meanwhile are dropped.
    mutating func dispatch(_ start: (Request) -> Outcome) {
        var refusals = 0
        while refusals < turns.count, let turn = turns.first {
            while let request = queues[turn]?.first, request.state != .waiting { pop(turn) }
            guard let request = queues[turn]?.first else {
                queues[turn] = nil
                turns.popFirst()
                continue
            }
            switch start(request) {
            case .started:
                pop(turn)
                refusals = 0
            case .tenantMustWait: refusals += 1
            // Its turn stays: it gets the first connection that it may have.
            case .allMustWait: return
            }
            turns.popFirst()
            if queues[turn]?.isEmpty == true { queues[turn] = nil } else { turns.append(turn) }
        }
    }

    private mutating func pop(_ turn: TenantID?) {
        queues[turn]?.popFirst()
        count -= 1
    }

    /// Takes out the youngest request of whoever has most waiting, if the tenant has fewer: it makes room for one of the tenant's.
    mutating func makeRoom(for tenant: TenantID?) -> Request? {
        guard let (longest, queue) = queues.max(by: { $0.value.count < $1.value.count }),
            queue.count > (queues[tenant]?.count ?? 0) + 1
        else { return nil }
        count -= 1
        return queues[longest]?.popLast()
    }

    mutating func popFirst() -> Request? {
        while let turn = turns.first {
            if let request = queues[turn]?.popFirst() {
                count -= 1
                return request
            }
            queues[turn] = nil
            turns.popFirst()
        }
        return nil
    }

    mutating func removeAll(where isRemoved: (Request) -> Bool) {
        for turn in queues.keys {
            let before = queues[turn]?.count ?? 0
            queues[turn]?.removeAll(where: isRemoved)
            count -= before - (queues[turn]?.count ?? 0)
        }
    }
}
