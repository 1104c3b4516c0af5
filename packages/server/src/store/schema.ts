import type {
  ApplicationTable,
  AssignmentRow,
  ChangeRow,
  CredentialRow,
  DeviceTable,
  FactorRow,
  GroupRow,
  MemberRow,
  NestedRow,
  TenantTable,
  UserTable,
} from './tables/directory.ts'
import type { ArtifactRow, DeviceUserTable, GrantTable, KeyRow, RevokedTokenRow, SessionTable, ThrottleRow } from './tables/issued.ts'
import type { AuditRow, AuditTargetRow, SignInRow } from './tables/logs.ts'
import type { LeaseRow, LimitRow, NodeRow } from './tables/nodes.ts'
import type { ContextRow, DecisionRow, LocationRow, PolicyRow, ReevaluationRow } from './tables/policies.ts'
import type {
  LdapEntryRow,
  LdapSourceRow,
  UpstreamActRow,
  UpstreamHoldRow,
  UpstreamOutcomeRow,
  UpstreamRow,
  UpstreamSetRow,
} from './tables/provisioning.ts'
import type { RiskDetectionRow, RiskHistoryRow, RiskSignalTable } from './tables/risk.ts'
import type {
  ControlRow,
  CutoffRecord,
  DeadLetterRow,
  DeliveryCountRow,
  DeliveryRow,
  EventRecord,
  SegmentListRow,
  SegmentRow,
  StreamRow,
} from './tables/signals.ts'

export type * from './tables/directory.ts'
export type * from './tables/issued.ts'
export type * from './tables/logs.ts'
export type * from './tables/nodes.ts'
export type * from './tables/policies.ts'
export type * from './tables/provisioning.ts'
export type * from './tables/risk.ts'
export type * from './tables/signals.ts'

export interface Schema {
  tenants: TenantTable
  users: UserTable
  groups: GroupRow
  members: MemberRow
  changes: ChangeRow
  applications: ApplicationTable
  credentials: CredentialRow
  nested: NestedRow
  assignments: AssignmentRow
  sessions: SessionTable
  revoked_tokens: RevokedTokenRow
  grants: GrantTable
  devices: DeviceTable
  device_users: DeviceUserTable
  keys: KeyRow
  artifacts: ArtifactRow
  events: EventRecord
  cutoffs: CutoffRecord
  segment_lists: SegmentListRow
  segments: SegmentRow
  streams: StreamRow
  controls: ControlRow
  dead_letters: DeadLetterRow
  deliveries: DeliveryRow
  delivery_counts: DeliveryCountRow
  throttles: ThrottleRow
  risk_signals: RiskSignalTable
  risk_detections: RiskDetectionRow
  risk_history: RiskHistoryRow
  upstreams: UpstreamRow
  upstream_sets: UpstreamSetRow
  upstream_acts: UpstreamActRow
  upstream_holds: UpstreamHoldRow
  upstream_outcomes: UpstreamOutcomeRow
  factors: FactorRow
  ldap_sources: LdapSourceRow
  ldap_entries: LdapEntryRow
  sign_ins: SignInRow
  audits: AuditRow
  audit_targets: AuditTargetRow
  policies: PolicyRow
  locations: LocationRow
  contexts: ContextRow
  decisions: DecisionRow
  reevaluations: ReevaluationRow
  nodes: NodeRow
  leases: LeaseRow
  limits: LimitRow
}
