/// The keys of log metadata, named once.
public enum LogKey {
    public static let requestID = "request.id"
    public static let tenantID = "tenant.id"
    public static let traceID = "trace.id"
    public static let route = "http.route"
    public static let status = "http.status"
    public static let code = "error.code"
    public static let reason = "error.reason"
    public static let error = "error.text"
    /// A kind of job.
    public static let worker = "worker"
    public static let jobID = "job.id"
    public static let outcome = "outcome"
    public static let count = "count"
    public static let port = "port"
    public static let migration = "migration"
}
