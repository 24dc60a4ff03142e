import ServiceRuntime
import Tenant

@main
struct TenantMain {
    static func main() async { await ServiceMain.run(TenantService.definition) }
}
