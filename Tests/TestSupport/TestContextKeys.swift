import Core
import Operations

/// The context keys of the processes that tests run: of each pair another one, made from its name.
public enum TestContextKeys {
    /// The setting `MARTLET_CONTEXT_KEYS` of a process.
    ///
    /// - Parameter id: of all the keys; keys of another id are other keys.
    public static func text(of process: String, id: String = "t") -> String {
        let own = ContextPair.all.filter { $0.caller == process || $0.callee == process }
        return own.map { pair in "\(id):\(pair.name):\(Hex.encode(Array("\(id) \(pair.name) of the tests of Martlet".utf8).prefix(32)))" }
            .joined(separator: ",")
    }

    /// The keys of a process. A process that is none has no pairs and so no keys.
    public static func keys(of process: String, id: String = "t") -> ContextKeys {
        // Safe: the text is of the form that is read, and has all pairs.
        try! ContextKeys(text(of: process, id: id), of: process, pairs: ContextPair.all)
    }

    /// Signs what a process sends to a service.
    public static func signer(from caller: String = ContextPair.gateway, to service: String, id: String = "t") -> ContextSigner {
        guard let signer = keys(of: caller, id: id).signer(for: service) else { preconditionFailure("\(caller) does not call \(service)") }
        return signer
    }
}
