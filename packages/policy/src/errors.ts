/** Codes thrown by this package. `detail` of the last three is the list of all mistakes: `{ path, message }`. */
export const POLICY_ERRORS = {
  invalid_range: 'Not an IP address or a range in CIDR notation.',
  invalid_device_rule: 'Not a rule of a device filter.',
  invalid_policy: 'The Conditional Access policy is not valid.',
  invalid_location: 'The named location is not valid.',
  invalid_cases: 'The file of policy cases is not valid.',
} as const
