import CRM
import Core
import Foundation
import Operations
import Postgres
import ServiceRuntime
import TestProbes

/// A service on crm's schema whose jobs leave traces in a table `trace`, for tests that kill and stop it; and with routes that stream.
@main
enum TestWorker {
    struct Work: Codable {
        var steps: Int64
    }

    static func main() async {
        await ServiceMain.run(
            ServiceDefinition(name: .crm, migrations: CRM.definition.migrations) { dependencies in
                ServiceParts(routes: Probes.routes, jobs: [count, wait(dependencies.postgres)])
            })
    }

    private static func trace(_ step: Int64, _ context: RequestContext, _ run: JobRun) -> SQL {
        """
        insert into trace (tenant_id, job, step, process)
        values (\(context.tenant), \(run.id), \(step), \(Int(ProcessInfo.processInfo.processIdentifier)))
        """
    }

    /// Leaves a trace of each step, which takes its time.
    private static var count: Job {
        JobKind<Work>("test-count").job { work, context, run in
            try await Task.sleep(for: .milliseconds(20))
            var progress = run.progress
            progress.done += 1
            progress.total = work.steps
            let traces = [trace(progress.done, context, run)]
            return progress.done < work.steps
                ? .more(writing: traces, progress: progress) : .done(writing: traces, progress: progress)
        }
    }

    /// Leaves the trace 0, waits in the middle of its only step until there is a trace with a negative number, and leaves the trace 1.
    private static func wait(_ postgres: PostgresClient) -> Job {
        JobKind<Work>("test-wait").job { _, context, run in
            try await run.write([trace(0, context, run)])
            while try await postgres.batch(as: context, ["select from trace where tenant_id = \(context.tenant) and step < 0"])[0].isEmpty {
                try await Task.sleep(for: .milliseconds(20))
            }
            return .done(writing: [trace(1, context, run)])
        }
    }
}
