import { absent, child, isRecord, note, type Place, placeOf, readOneOf, readOptionalText, readText, settle } from './mistakes.ts'
import { readConditions } from './parse-conditions.ts'
import { readGrantControls, readSessionControls } from './parse-controls.ts'
import { type GrantControls, type Policy, type PolicyConditions, type SessionControls, STATES } from './policy.ts'

const MEMBERS = [
  'id',
  'templateId',
  'displayName',
  'description',
  'createdDateTime',
  'modifiedDateTime',
  'deletedDateTime',
  'state',
  'conditions',
  'grantControls',
  'sessionControls',
  'partialEnablementStrategy',
]

/**
 * Reads a policy as Microsoft Graph writes it. Annotations (`@odata.*`) are passed over; what could not be enforced is a mistake, and so is every member that is not known.
 * @throws CaegisError `invalid_policy`; `detail` is the list of all mistakes: `{ path, message }`, the path a JSON pointer
 */
export function parsePolicy(value: unknown): Policy {
  const place = placeOf(value)
  const policy = readPolicy(place)
  settle(place, 'invalid_policy')
  return policy as Policy
}

/** As `parsePolicy`, inside a greater document. */
export function readPolicy(place: Place): Policy | undefined {
  if (!isRecord(place, MEMBERS)) return undefined
  const at = (name: string) => child(place, name)
  if (!absent(at('partialEnablementStrategy'))) note(at('partialEnablementStrategy'), 'is not supported')
  const conditions = readConditions(at('conditions'))
  const grantControls = readGrantControls(at('grantControls'))
  const sessionControls = readSessionControls(at('sessionControls'))
  const state = readOneOf(at('state'), STATES)
  if (conditions) judge(place, state, conditions, grantControls, sessionControls)
  return {
    id: readText(at('id')),
    templateId: readOptionalText(at('templateId')),
    displayName: readText(at('displayName')),
    description: readOptionalText(at('description'), 4096),
    createdDateTime: readOptionalText(at('createdDateTime'), 64),
    modifiedDateTime: readOptionalText(at('modifiedDateTime'), 64),
    state,
    conditions: conditions as PolicyConditions,
    grantControls,
    sessionControls,
  }
}

/** Rules that concern more than one member. */
function judge(place: Place, state: string, conditions: PolicyConditions, grant: GrantControls | null, session: SessionControls | null): void {
  const at = (...names: string[]) => names.reduce<Place>(child, place)
  if (absent(at('grantControls')) && absent(at('sessionControls'))) note(place, 'has neither grant controls nor session controls')
  else if (!grant && !session && place.mistakes.length === 0) note(place, 'has no control that is enabled')
  if (conditions.applications.includeUserActions.length > 0 && state === 'enabledForReportingButNotEnforced') {
    note(at('state'), 'a policy for user actions cannot be report-only')
  }
  if (grant?.builtInControls.includes('passwordChange')) judgePasswordChange(at, conditions, grant)
  if (!conditions.clientApplications) return
  // Service principals cannot be asked for anything.
  if (grant && !(grant.builtInControls.length === 1 && grant.builtInControls[0] === 'block')) {
    note(at('grantControls'), 'service principals can only be blocked')
  }
  if (session) note(at('sessionControls'), 'service principals have no sessions')
}

/** A new password ends the risk, and nothing else: it comes with proof of who changes it, for whoever is at risk, wherever they are. */
function judgePasswordChange(at: (...names: string[]) => Place, conditions: PolicyConditions, grant: GrantControls): void {
  const { applications, users: _users, clientAppTypes, userRiskLevels, ...others } = conditions
  const proved = grant.builtInControls.includes('mfa') || grant.authenticationStrength
  if (grant.operator !== 'AND' || !proved) note(at('grantControls'), 'passwordChange needs mfa beside it, and the operator AND')
  if (userRiskLevels.length === 0) note(at('conditions', 'userRiskLevels'), 'passwordChange needs user risk levels')
  if (applications.includeApplications[0] !== 'All' || applications.excludeApplications.length > 0) {
    note(at('conditions', 'applications'), 'passwordChange needs all applications')
  }
  if (!clientAppTypes.includes('all')) note(at('conditions', 'clientAppTypes'), 'passwordChange goes with no other condition')
  for (const [name, value] of Object.entries(others)) {
    if (value && !(Array.isArray(value) && value.length === 0)) note(at('conditions', name), 'passwordChange goes with no other condition')
  }
}
