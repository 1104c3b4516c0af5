/** Somebody, or something, that is supposed to sign in; what is empty is not known. */
export const QUESTION = {
  ...{ who: 'user', user: '', principal: '', what: 'application', application: '', action: '', context: '' },
  ...{ address: '', country: '', platform: '', client: '', userRisk: '', signInRisk: '', principalRisk: '', insiderRisk: '', flow: '', device: '' },
}
export type Question = typeof QUESTION
export const FIELDS = Object.keys(QUESTION) as (keyof Question)[]

/** Whether enough is said to be asked. */
export function isWhole({ who, user, principal, what, application, action, context }: Question): boolean {
  return (who === 'user' ? user : principal) !== '' && { application, action, context }[what as 'application'] !== ''
}

/** Graph's what-if. */
export function toEvaluation(question: Question, draft: object | undefined): object {
  const { who, user, principal, what, application, action, context } = question
  const { address, country, platform, client, userRisk, signInRisk, principalRisk, insiderRisk, flow, device } = question
  const conditions = {
    ...{ ipAddress: address.trim(), country, devicePlatform: platform, clientAppType: client, insiderRiskLevel: insiderRisk },
    ...{ userRiskLevel: userRisk, signInRiskLevel: signInRisk, servicePrincipalRiskLevel: principalRisk },
    authenticationFlow: flow === '' ? '' : { transferMethod: flow },
    deviceInfo: device === '' ? '' : { deviceId: 'supposed', isCompliant: device === 'compliant' },
  }
  return {
    signInIdentity:
      who === 'user'
        ? { '@odata.type': '#microsoft.graph.userSignIn', userId: user }
        : { '@odata.type': '#microsoft.graph.servicePrincipalSignIn', servicePrincipalId: principal },
    signInContext:
      what === 'application'
        ? { '@odata.type': '#microsoft.graph.applicationContext', includeApplications: [application] }
        : what === 'action'
          ? { '@odata.type': '#microsoft.graph.userActionContext', userAction: action }
          : { '@odata.type': '#microsoft.graph.authContext', authenticationContextValue: context },
    signInConditions: Object.fromEntries(Object.entries(conditions).filter(([, value]) => value !== '')),
    ...(draft ? { draft } : {}),
  }
}

/** What the server answers. */
export interface Answer {
  value: {
    id: string
    displayName: string
    state: string
    policyApplies: boolean
    analysisReasons: string
    caegis: { applies: boolean | 'unknown'; result: string; unmet: string[]; satisfied: string[]; notSatisfied: string[]; unknown: string[] }
  }[]
  caegis: { outcome: 'allow' | 'require' | 'block'; next: string | null; blockedBy: string[]; session: { persistentBrowser?: string; cae?: string } }
}
