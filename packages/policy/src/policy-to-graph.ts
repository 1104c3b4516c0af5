import type { GuestSelection, Policy } from './policy.ts'

/** A policy as Microsoft Graph writes it: lists of flags as texts, members that this engine does not have as empty as there. */
export function policyToGraph(policy: Policy): Record<string, unknown> {
  const { conditions, grantControls, sessionControls, ...rest } = policy
  const { users, insiderRiskLevels, authenticationFlows, applications, clientApplications, ...others } = conditions
  return {
    ...rest,
    conditions: {
      ...others,
      applications: { ...applications, applicationFilter: null },
      users: {
        ...users,
        includeGuestsOrExternalUsers: guestsToGraph(users.includeGuestsOrExternalUsers),
        excludeGuestsOrExternalUsers: guestsToGraph(users.excludeGuestsOrExternalUsers),
      },
      clientApplications: clientApplications ? { ...clientApplications, servicePrincipalFilter: null } : null,
      insiderRiskLevels: insiderRiskLevels.length > 0 ? insiderRiskLevels.join(',') : null,
      authenticationFlows: authenticationFlows ? { transferMethods: authenticationFlows.transferMethods.join(',') } : null,
    },
    grantControls: grantControls ? { ...grantControls, customAuthenticationFactors: [], termsOfUse: [] } : null,
    sessionControls: sessionControls
      ? { ...sessionControls, applicationEnforcedRestrictions: null, cloudAppSecurity: null, secureSignInSession: null }
      : null,
  }
}

function guestsToGraph(guests: GuestSelection | null): Record<string, unknown> | null {
  if (!guests) return null
  const { guestOrExternalUserTypes, externalTenants } = guests
  const enumerated = externalTenants?.membershipKind === 'enumerated'
  return {
    guestOrExternalUserTypes: guestOrExternalUserTypes.join(','),
    externalTenants: externalTenants && {
      '@odata.type': `#microsoft.graph.conditionalAccess${enumerated ? 'Enumerated' : 'All'}ExternalTenants`,
      membershipKind: externalTenants.membershipKind,
      ...(enumerated ? { members: externalTenants.members } : {}),
    },
  }
}
