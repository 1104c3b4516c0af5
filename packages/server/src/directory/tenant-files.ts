import type { Actor } from '../store/change.ts'
import type { Secrets } from '../store/secrets.ts'
import type { Store } from '../store/store.ts'
import type { Directory } from './directory.ts'
import { doPlan, type Plan, planFor } from './plan/plan.ts'
import { checkNames } from './policy-file.ts'
import { refuseOwnNames, type TenantFile } from './tenant-file.ts'

/** Tenant files that somebody applies from outside, to a tenant that is there. */
export function createTenantFiles(store: Store, secrets: Secrets, tenant: string, issuer: string, directory: Directory) {
  return {
    /** @throws CaegisError `invalid_tenant_file` for names that nobody has */
    async plan(file: TenantFile): Promise<Plan> {
      refuseOwnNames(file, issuer)
      await checkNames(store.db, tenant, file)
      return planFor({ db: store.db, tenant, issuer, secrets }, file)
    },
    /** Does what was planned until `mayGoOn` says no. @throws CaegisError `changed_meanwhile`, and those of the commands themselves */
    apply: (plan: Plan, actor: Actor, mayGoOn: () => boolean) =>
      doPlan({ store, tenant, issuer, secrets, directory }, plan, { actor, strict: true, mayGoOn }),
  }
}

export type TenantFiles = ReturnType<typeof createTenantFiles>
