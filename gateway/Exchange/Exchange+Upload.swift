import NIOCore

/// A body that goes on to its service as it comes.
struct StreamedBody {
    /// So much of it is gathered before a place at the service is taken for it: what begins slowly, or is no larger, holds none meanwhile.
    static let enough = 64 * 1024

    let limit: Int
    var floor: SpeedFloor
    /// Whether its last byte is here.
    var isWhole: Bool
    /// Bytes that have come.
    var count = 0
    /// Whether the client was asked for it.
    var isAwaited = false
    /// Whether it goes on in chunks, since its length is not known.
    var isChunked = false

    init(limit: Int, floor: SpeedFloor, isWhole: Bool) {
        self.limit = limit
        self.floor = floor
        self.isWhole = isWhole
    }
}

extension Exchange {
    /// A part of the body is here.
    func receiveUpload(_ part: ByteBuffer, isLast: Bool) {
        switch machine.state {
        case .gathering, .waiting, .streaming, .heldBack: break
        // The answer is here already, and nobody wants the rest.
        case .judging, .sent, .answering, .ended: return
        }
        guard note(part, isLast: isLast) else { return refuse(bodyTooLarge) }
        switch machine.state {
        case .gathering:
            guard keep(part), isLast || body.readableBytes >= StreamedBody.enough else { return }
            if !isLast { holdBody() }
            bodyIsReady(.bodyIsEnough)
        case .streaming, .heldBack: pass(part, isLast: isLast)
        default: _ = keep(part)
        }
    }

    /// - Returns: Whether the body is not too large.
    private func note(_ part: ByteBuffer, isLast: Bool) -> Bool {
        upload?.count += part.readableBytes
        upload?.isWhole = isLast
        upload?.floor.received(part.readableBytes, now: .now())
        if let upload, machine.state != .waiting, machine.state != .heldBack { deadline = upload.floor.deadline }
        return upload.map { $0.count <= $0.limit } ?? false
    }

    /// Sends the head and what is here of the body. It cannot be sent once more.
    func beginUpload(on connection: UpstreamConnection, isWhole: Bool) {
        connection.send(request, isLast: isWhole)
        request = ByteBuffer()
        body = ByteBuffer()
        countHeld()
        if isWhole || isEnded { return }
        if connection.isWritable { takeBody() } else { perform(machine.handle(.serviceIsFull)) }
    }

    /// Sends a part on.
    private func pass(_ part: ByteBuffer, isLast: Bool) {
        guard let upstream, let upload else { return }
        if isLast {
            deadline = .now() + policy.settings.requestTimeout
            perform(machine.handle(.bodyIsWhole))
        } else if part.readableBytes == 0 {
            return
        }
        var framed = part
        if upload.isChunked {
            framed = ByteBuffer()
            framed.writeHead(capacity: part.readableBytes + HeadWriter.chunkFraming) { writer in
                part.withUnsafeReadableBytes { writer.putChunk($0, isLast: isLast) }
            }
        }
        upstream.send(framed, isLast: isLast)
        countHeld()
        if !isLast, !upstream.isWritable { perform(machine.handle(.serviceIsFull)) }
    }

    /// Has the client send no more for now. That is not its fault, so it is the service that must go on in time.
    func holdBody() {
        let now = NIODeadline.now()
        transport?.pauseBody()
        upload?.floor.hold(now: now)
        deadline = now + policy.settings.requestTimeout
    }

    /// Asks the client for the body, from its beginning or again.
    func takeBody() {
        upload?.floor.goOn(now: .now())
        guard let upload else { return }
        deadline = upload.floor.deadline
        self.upload?.isAwaited = true
        if upload.isAwaited { transport?.resumeBody() } else { transport?.startBody() }
    }

    func upstreamWritable() {
        countHeld()
        perform(machine.handle(.serviceTakesMore))
    }

    /// Drops what is still to come. A client that writes all before it reads would not get to its answer otherwise.
    func dropUpload() {
        if let upload, upload.isAwaited, !upload.isWhole { transport?.resumeBody() }
    }

    /// Has the worker count what is here of the body: gathered, or on its way to the service.
    func countHeld() {
        guard !isEnded else { return }
        let bytes = body.readableBytes + (upload == nil ? 0 : upstream?.unsentBytes ?? 0)
        worker.hold(bytes - heldBytes)
        heldBytes = bytes
    }
}
