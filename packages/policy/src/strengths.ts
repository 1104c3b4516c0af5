const PASSKEYS = ['windowsHelloForBusiness', 'fido2', 'x509CertificateMultiFactor']
const PASSWORDLESS = [...PASSKEYS, 'deviceBasedPush']
const SECOND = ['microsoftAuthenticatorPush', 'softwareOath', 'hardwareOath', 'sms', 'voice']

const built = (last: number) => `00000000-0000-0000-0000-00000000000${last}`

/** The strengths that every tenant of Microsoft's has, by Graph's ids, and what each of them takes. */
export const BUILT_IN_STRENGTHS: ReadonlyMap<string, { displayName: string; allowedCombinations: readonly string[] }> = new Map([
  [
    built(2),
    {
      displayName: 'Multifactor authentication',
      allowedCombinations: [
        ...PASSWORDLESS,
        'temporaryAccessPassOneTime',
        'temporaryAccessPassMultiUse',
        'federatedMultiFactor',
        ...SECOND.map((method) => `password,${method}`),
        ...SECOND.map((method) => `${method},federatedSingleFactor`),
      ],
    },
  ],
  [built(3), { displayName: 'Passwordless MFA', allowedCombinations: PASSWORDLESS }],
  [built(4), { displayName: 'Phishing-resistant MFA', allowedCombinations: PASSKEYS }],
])

/** Methods that a combination may name. */
export const METHODS: ReadonlySet<string> = new Set([
  ...PASSWORDLESS,
  ...SECOND,
  'password',
  'temporaryAccessPassOneTime',
  'temporaryAccessPassMultiUse',
  'federatedMultiFactor',
  'federatedSingleFactor',
  'x509CertificateSingleFactor',
  'email',
  'qrCodePin',
])
