import { type CSSVariablesResolver, createTheme } from '@mantine/core'

export const theme = createTheme({
  primaryColor: 'blue',
  primaryShade: { light: 8, dark: 8 },
  defaultRadius: 'md',
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif',
  cursorType: 'pointer',
  autoContrast: true,
  respectReducedMotion: true,
})

/** Where Mantine's own colours are too pale to be read (WCAG 2.2, 1.4.3: 4.5 to 1), others stand in for them. */
export const colors: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    '--mantine-color-dimmed': '#545c66',
    '--mantine-color-placeholder': '#6a727b',
    '--mantine-color-anchor': '#1864ab',
    '--mantine-color-error': '#c01c1c',
    '--mantine-color-green-light-color': '#1b5e20',
    '--mantine-color-red-light-color': '#a01515',
    '--mantine-color-orange-light-color': '#8a3a00',
    '--mantine-color-yellow-light-color': '#704600',
    '--mantine-color-blue-light-color': '#134e8f',
    '--mantine-color-gray-light-color': '#343a40',
  },
  dark: {
    '--mantine-color-dimmed': '#a6a7ab',
    '--mantine-color-placeholder': '#8f9196',
    '--mantine-color-anchor': '#74b5f2',
    '--mantine-color-error': '#ff9a9a',
    '--mantine-color-green-light-color': '#8ce99a',
    '--mantine-color-red-light-color': '#ffb3b3',
    '--mantine-color-orange-light-color': '#ffc078',
    '--mantine-color-yellow-light-color': '#ffe066',
    '--mantine-color-blue-light-color': '#a5d0ff',
    '--mantine-color-gray-light-color': '#d0d4d9',
  },
})
