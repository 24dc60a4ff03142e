import Postgres
import Resources

/// What merges of records leave to be done (Shared/Decisions/0032).
enum MergeJobs {
    static func all(of resources: [Resource]) -> [Job] {
        [
            JobKind<MergeFollowing>(MergeFollowing.kind).job { following, context, run in
                switch try await following.step(among: resources, as: context, write: { try await run.write($0) }) {
                case .more: .more()
                case .done(let statements): .done(writing: statements)
                }
            },
            Retention.job("merge-retention", of: "merge", where: "created_at < now() - interval '30 days'"),
        ]
    }
}
