package ghtest

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
)

// Confirm does what a person does with the page that an App is registered
// from: press its button, confirm at GitHub, and come back.
func Confirm(page string) error {
	text, err := read(http.Get(page))
	if err != nil {
		return err
	}
	action, err := field(text, "action")
	if err != nil {
		return err
	}
	manifest, err := field(text, "value")
	if err != nil {
		return err
	}
	_, err = read(http.PostForm(action, url.Values{"manifest": {manifest}})) // it follows GitHub's way back
	return err
}

func field(page, name string) (string, error) {
	m := regexp.MustCompile(name + `="([^"]*)"`).FindStringSubmatch(page)
	if m == nil {
		return "", fmt.Errorf("the page has no %s: %s", name, page)
	}
	return html.UnescapeString(m[1]), nil
}

func read(resp *http.Response, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s: %s", resp.Request.URL, resp.Status, text)
	}
	return string(text), err
}
