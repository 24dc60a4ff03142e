import Logging
import Operations

extension Gateway {
    /// Reads the settings again and puts in force what may change: within milliseconds, for requests that begin from then on. Nothing changes
    /// when one of them is at fault, and what only another start can change is said.
    ///
    /// - Parameter read: Where they are read from; called at once.
    public func reload(_ read: () throws -> Settings) {
        do {
            let new = try GatewayConfiguration(settings: try read())
            let fixed = configuration.fixedChanges(to: new)
            if !fixed.isEmpty {
                logger.warning("Settings have changed that need a restart", metadata: ["settings": "\(fixed.joined(separator: ", "))"])
            }
            JSONLogHandler.processLevel = new.policy.logLevel
            apply(new.policy)
            logger.notice("The settings were read again")
        } catch {
            logger.error("The settings were not read again; those before stay in force", metadata: ["error": "\(error)"])
        }
    }
}

extension GatewayConfiguration {
    /// What an operator should know of settings that are right by themselves.
    ///
    /// - Parameter files: Files and sockets that the process may have open.
    public func warnings(files: Int) -> [String] {
        var warnings: [String] = []
        if let shortfall = FileLimit(files: files, configuration: self).shortfall { warnings.append(shortfall) }
        if let available = MemoryLimit.available, MemoryLimit.needed(by: self) > available {
            let needed = MemoryLimit.needed(by: self)
            warnings.append(
                "\(needed >> 20) MiB of memory may be needed and \(available >> 20) MiB are there: \(MemoryLimit.arithmetic(of: self))")
        }
        if !policy.trustedProxies.isEmpty, policy.trustedHops == 0 {
            warnings.append(
                "MARTLET_TRUSTED_PROXIES without MARTLET_TRUSTED_HOPS: a client with an address in these networks may say to be another")
        }
        return warnings
    }

    /// As the process would find it at its start.
    public func warnings() -> [String] { warnings(files: FileLimit.raise()) }
}
