import { describe, expect, it } from 'vitest'
import { parseDeviceRule } from '../src/index.ts'

const device = {
  id: 'd-1',
  isCompliant: true,
  trustType: 'AzureAD',
  displayName: 'Kim "K"',
  manufacturer: null,
  physicalIds: ['[ZTDId]:7'],
  extensionAttributes: { extensionAttribute2: 'x' },
}
const [NO, UNKNOWN, YES] = [0, 1, 2]

describe('parseDeviceRule', () => {
  it.each([
    ['device.deviceId -eq "D-1"', YES],
    ['device.isCompliant -eq True', YES],
    ['device.isCompliant -eq false', NO],
    ['device.isCompliant -ne FALSE', YES],
    ['DEVICE.TRUSTTYPE -EQ "azuread"', YES],
    ['device.trustType -in ["Workplace", "AzureAD"]', YES],
    ['device.trustType -notIn ["Workplace"]', YES],
    ['device.displayName -startsWith "kim"', YES],
    ['device.displayName -notStartsWith "kim"', NO],
    ['device.displayName -contains "`"K`""', YES],
    ["device.displayName -endsWith 'k\"'", YES],
    ['device.manufacturer -eq null', YES],
    ['device.manufacturer -ne null', NO],
    ['device.manufacturer -ne "HP"', YES],
    ['device.manufacturer -eq "HP"', NO],
    ['device.model -eq "X"', UNKNOWN],
    ['device.model -eq null', UNKNOWN],
    ['device.physicalIds -contains "[ztdid]"', YES],
    ['device.physicalIds -notContains "[ztdid]"', NO],
    ['device.extensionAttribute2 -eq "X"', YES],
    ['device.extensionAttribute3 -eq null', YES],
    ['device.model -eq "X" -or device.isCompliant -eq True', YES],
    ['device.model -eq "X" -and device.isCompliant -eq False', NO],
    ['-not (device.model -eq "X")', UNKNOWN],
    ['-not -not (device.isCompliant -eq True)', YES],
    // -and binds closer than -or, -not closer than both.
    ['device.isCompliant -eq True -or device.isCompliant -eq True -and device.isCompliant -eq False', YES],
    ['(device.isCompliant -eq True -or device.isCompliant -eq True) -and device.isCompliant -eq False', NO],
    ['-not device.isCompliant -eq True -or device.isCompliant -eq True', YES],
  ])('%s', (rule, wanted) => {
    expect(parseDeviceRule(rule)(device)).toBe(wanted)
  })

  it('takes no device for one of which everything is empty, and an unknown one for unknown', () => {
    const rules = ['device.isCompliant -ne True', 'device.isCompliant -eq True', '-not (device.isCompliant -eq True)'].map(parseDeviceRule)
    expect(rules.map((rule) => rule(null))).toEqual([YES, NO, YES])
    expect(rules.map((rule) => rule(undefined))).toEqual([UNKNOWN, UNKNOWN, UNKNOWN])
  })

  it.each([
    '',
    'device.isCompliant',
    'device.isCompliant -eq',
    'device.isCompliant -eq True -and',
    'device.isCompliant -eq True device.isCompliant -eq True',
    'device.isCompliant -eq "True"',
    'device.isCompliant -contains "x"',
    'device.model -eq True',
    'device.model -eq X',
    'device.model -in []',
    'device.model -in "x"',
    'device.model -startsWith null',
    'device.physicalIds -eq "x"',
    'device.physicalIds -in ["x"]',
    'device.extensionAttribute16 -eq "x"',
    'device.constructor -eq "x"',
    'device.model -constructor "x"',
    'user.model -eq "x"',
    'model -eq "x"',
    '(device.model -eq "x"',
    'device.model -eq "x',
    'device.model -eq "x" ; drop',
    `${'('.repeat(40)}device.model -eq "x"${')'.repeat(40)}`,
    `device.model -eq "${'x'.repeat(3072)}"`,
  ])('refuses %s', (rule) => {
    expect(() => parseDeviceRule(rule)).toThrow(expect.objectContaining({ code: 'invalid_device_rule' }))
  })

  it('says what is wrong where', () => {
    expect(() => parseDeviceRule('device.isCompliant -eq True -and device.colour -eq "red"')).toThrow(
      expect.objectContaining({ detail: 'is not a property of a device, at character 34' }),
    )
  })
})
